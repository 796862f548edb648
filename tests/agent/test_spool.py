"""What is not yet told to the server outlives the agent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.agent.spool import Spool, waiting
from app.protocol import LOG_ENTRIES_MAX, Finish, LogEntry, ModelUsage, Result, StepStatus, Usage


def entry(text: str) -> LogEntry:
    return LogEntry("ai_coding", StepStatus.RUNNING, output=text)


def outputs(spool: Spool) -> list[str]:
    batch = spool.pending()
    return [entry.output for entry in batch.entries] if batch else []


def test_entries_come_back_in_order_after_a_restart(tmp_path):
    spool = Spool(tmp_path / "a")
    for text in ("one", "two\r\n\x00", "three 漢"):
        spool.append(entry(text))
    spool.keep_usage(Usage([ModelUsage("p", "m", input_tokens=3)]))
    spool.keep_finish(Finish(Result.SUCCEEDED, 3))
    spool.close()
    again = Spool(tmp_path / "a")
    assert outputs(again) == ["one", "two\r\n\x00", "three 漢"]
    assert again.usage.usage[0].input_tokens == 3
    assert not again.usage_sent
    assert again.finish == Finish(Result.SUCCEEDED, 3)


def test_what_is_acknowledged_is_not_sent_again_and_a_gap_goes_back(tmp_path):
    spool = Spool(tmp_path / "a")
    for number in range(5):
        spool.append(entry(str(number)))
    spool.acknowledge(3)
    assert spool.pending().first_seq == 3
    assert outputs(spool) == ["3", "4"]
    spool.acknowledge(1)
    assert outputs(spool) == ["1", "2", "3", "4"]
    spool.acknowledge(5)
    assert spool.pending() is None


def test_a_batch_stays_within_a_request(tmp_path):
    spool = Spool(tmp_path / "a")
    for _ in range(40):
        spool.append(entry("x" * 65_536))
    assert len(spool.pending().entries) == 14
    small = Spool(tmp_path / "b")
    for _ in range(LOG_ENTRIES_MAX + 1):
        small.append(entry("x"))
    assert len(small.pending().entries) == LOG_ENTRIES_MAX


def test_an_entry_that_a_crash_cut_was_never_there(tmp_path):
    spool = Spool(tmp_path / "a")
    spool.append(entry("whole"))
    spool.close()
    with (tmp_path / "a" / "log.jsonl").open("ab") as log:
        log.write(b'{"step_name":"ai_co')
    again = Spool(tmp_path / "a")
    again.append(entry("next"))
    assert outputs(again) == ["whole", "next"]


def test_a_result_cut_by_a_crash_is_no_result(tmp_path):
    spool = Spool(tmp_path / "a")
    spool.close()
    (tmp_path / "a" / "finish.json.new").write_text('{"result":"succ')
    assert Spool(tmp_path / "a").finish is None


def test_only_its_owner_can_read_it(tmp_path):
    spool = Spool(tmp_path / "a")
    spool.append(entry("secret work"))
    spool.keep_finish(Finish(Result.SUCCEEDED, 1))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a").iterdir()} == {0o600}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_former_attempts_are_found_until_they_are_discarded(tmp_path):
    name = "0197f0aa-0000-7000-8000-000000000001"
    spool = Spool(tmp_path / name)
    assert [str(attempt) for attempt in waiting(tmp_path)] == [name]
    spool.discard()
    assert waiting(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_costs_the_entry_and_keeps_the_result(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        spool = Spool(tmp_path / "a")
        with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - which entry is refused is the disk's choice
            while True:
                spool.append(entry("x" * 30_000))
        stored = spool.next_seq
        with pytest.raises(OSError, match="No space left"):  # noqa: PT012
            for name in range(100):
                (tmp_path / str(name)).write_bytes(b"x" * 4096)
        with pytest.raises(OSError, match="No space left"):
            spool.keep_finish(Finish(Result.FAILED, stored))
        assert spool.finish == Finish(Result.FAILED, stored)
        assert len(outputs(spool)) == stored
        spool.close()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_killed_writer_loses_no_entry_that_it_reported(tmp_path: Path):
    """`kill -9` in the middle of writing: what was appended before is whole."""
    script = (
        "import sys, pathlib\n"
        "from app.agent.spool import Spool\n"
        "from app.protocol import LogEntry, StepStatus\n"
        "spool = Spool(pathlib.Path(sys.argv[1]))\n"
        "while True:\n"
        "    spool.append(LogEntry('s', StepStatus.RUNNING, output='x' * 5000))\n"
        "    print(spool.next_seq, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "a"], stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            if int(line) >= 50:
                break
        writer.kill()
        reported = [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    assert Spool(tmp_path / "a").next_seq >= max([50, *reported])
