"""A process that ends leaves nothing behind, however it ends."""

import asyncio
import os
import resource
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from app.agent import process


class Heard:
    def __init__(self) -> None:
        self.content = bytearray()
        self._more = asyncio.Event()

    async def __call__(self, block: bytes) -> None:
        self.content += block
        self._more.set()

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(20):
            while text not in self.content:
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def marked() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], process.MARKER: str(uuid4())}


def alive(marked: dict[str, str]) -> list[int]:
    return process._members(None, marked[process.MARKER])


async def shell(script: str, marked: dict[str, str], heard: Heard, **options) -> int:
    return await process.run(("sh", "-c", script), cwd=Path("/"), environment=marked, on_output=heard, **options)


async def test_output_and_exit_code_arrive(marked):
    heard = Heard()
    assert await shell("echo out; echo err >&2; exit 3", marked, heard) == 3
    assert bytes(heard.content) == b"out\nerr\n"


async def test_a_signal_is_told_from_an_exit_code(marked):
    assert await shell("kill -9 $$", marked, Heard()) == -9


async def test_the_prompt_is_standard_input(marked, tmp_path):
    (tmp_path / "prompt").write_text("do it")
    heard = Heard()
    await shell("cat", marked, heard, stdin=tmp_path / "prompt")
    assert bytes(heard.content) == b"do it"


async def test_a_missing_program_is_an_error_and_leaks_nothing(marked):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        await process.run(("/nowhere/tool",), cwd=Path("/"), environment=marked, on_output=Heard())
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_children_that_a_tool_leaves_are_ended_with_it(marked):
    """One in the tool's group, one in a session of its own; both hold the tool's output open."""
    heard = Heard()
    code = await shell("sleep 1000 & setsid sleep 1000 & echo started; exit 0", marked, heard)
    assert code == 0
    assert b"started" in heard.content
    assert alive(marked) == []


async def test_a_tool_that_ignores_sigterm_is_killed(marked):
    heard = Heard()
    script = "trap '' TERM; (trap '' TERM; setsid sleep 1000) & echo started; sleep 1000; sleep 1000"
    running = asyncio.create_task(shell(script, marked, heard, kill_after_s=0.3))
    await heard.until(b"started")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alive(marked) == []


async def test_a_tool_may_clean_up_when_it_is_stopped(marked):
    heard = Heard()
    script = "trap 'echo cleaned; exit 0' TERM; echo started; while :; do sleep 0.05; done"
    running = asyncio.create_task(shell(script, marked, heard))
    await heard.until(b"started")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert alive(marked) == []


async def test_a_reader_that_fails_ends_the_tool(marked):
    async def full(_block: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await process.run(("sh", "-c", "yes"), cwd=Path("/"), environment=marked, on_output=full)
    assert alive(marked) == []


async def test_200_mb_without_a_newline_pass_in_bounded_memory(marked):
    counted = 0

    async def count(block: bytes) -> None:
        nonlocal counted
        counted += len(block)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    script = "import sys\nfor _ in range(200): sys.stdout.write('x' * 1_000_000)"
    code = await process.run((sys.executable, "-c", script), cwd=Path("/"), environment=marked, on_output=count)
    assert (code, counted) == (0, 200_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


async def test_what_a_former_agent_left_is_found_by_its_attempt(marked):
    orphan = await asyncio.create_subprocess_exec("sleep", "1000", env=marked, start_new_session=True)
    await process.end(None, marked[process.MARKER])
    assert await orphan.wait() == -15
