"""The log of an attempt as it is written."""

import asyncio

import pytest

from app.agent import journal
from app.agent.journal import Journal
from app.agent.spool import Spool
from app.protocol import StepStatus


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def entries(spool: Spool):
    return spool.pending().entries


async def test_a_step_says_how_it_ended_and_how_long_it_took(spool):
    written = Journal(spool)
    async with written.step("clone"):
        pass
    with pytest.raises(ValueError, match="no"):
        async with written.step("push", "git push"):
            raise ValueError("no")
    assert [(entry.step_name, entry.status, entry.error_message) for entry in entries(spool)] == [
        ("clone", StepStatus.RUNNING, None),
        ("clone", StepStatus.SUCCESS, None),
        ("push", StepStatus.RUNNING, None),
        ("push", StepStatus.FAILED, "no"),
    ]
    assert entries(spool)[3].duration_ms is not None


async def test_secrets_are_masked_in_commands_and_errors(spool):
    written = Journal(spool)
    written.mask.add("hunter2")
    await written.note("s", StepStatus.FAILED, command="login hunter2", error="hunter2 is wrong")
    [entry] = entries(spool)
    assert (entry.command, entry.error_message) == ("login ***", "*** is wrong")


async def test_what_a_stream_holds_goes_out_without_more_output(spool):
    async with Journal(spool).stream("ai_coding") as stream:
        await stream.feed(b"still thinking")
        async with asyncio.timeout(10):
            await spool.changed.wait()
        assert entries(spool)[0].output == "still thinking"


async def test_a_tool_that_never_stops_writing_is_cut_off(spool, monkeypatch):
    monkeypatch.setattr(journal, "OUTPUT_MAX_BYTES", 3 << 20)
    async with Journal(spool).stream("ai_coding") as stream:
        for _ in range(100):
            await stream.feed(b"x" * 65_536)
    assert spool.next_seq < 60
    spool.acknowledge(spool.next_seq - 2)
    assert "[what follows is left out: more than 3 MiB]" in "".join(entry.output for entry in entries(spool))
