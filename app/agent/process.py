"""Runs git and tools: each in a process group of its own that leaves nothing behind, its output in bounded memory."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app.agent.output import BLOCK_BYTES

T = TypeVar("T")
OnOutput = Callable[[bytes], Awaitable[None]]

# Every process of an attempt carries it, so that children which left the group, or outlived the agent, are found.
MARKER = "NODEYARD_ATTEMPT_ID"
KILL_AFTER_S = 5.0
_GONE_WITHIN_S = 5.0
_DRAIN_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.05
_PROC = Path("/proc")


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    on_output: OnOutput,
    stdin: Path | None = None,
    kill_after_s: float = KILL_AFTER_S,
) -> int:
    """The exit code; a process that a signal ended has the signal's number below zero.

    Standard output and error arrive together in `on_output`, at the pace at which it takes them. However this ends,
    by the process, by an error or by cancellation, the process and all that it started are gone. Raises `OSError`
    when the program cannot be started, and whatever `on_output` raises.
    """
    reading, writing = os.pipe()
    try:
        with open(stdin or os.devnull, "rb") as given:  # noqa: ASYNC230, PTH123 - a small file of ours, or none
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=cwd, env=environment, stdin=given, stdout=writing, stderr=writing, start_new_session=True
            )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    output = asyncio.create_task(_pump(reading, on_output))
    try:
        try:
            code = await _ended(process, output)
        finally:
            await _to_the_end(end(process.pid, environment.get(MARKER), kill_after_s=kill_after_s))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(output, _DRAIN_WITHIN_S)
        return code
    finally:
        output.cancel()
        await asyncio.gather(output, return_exceptions=True)


async def end(group: int | None, attempt_id: str | None, *, kill_after_s: float = KILL_AFTER_S) -> None:
    """Stop every process of the group, and every one that carries the attempt's marker: asked first, then killed."""
    for number, patience_s in ((signal.SIGTERM, kill_after_s), (signal.SIGKILL, _GONE_WITHIN_S)):
        give_up_at = asyncio.get_running_loop().time() + patience_s
        signalled: set[int] = set()
        while alive := set(await asyncio.to_thread(_members, group, attempt_id)):
            for pid in alive - signalled:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            signalled |= alive
            if asyncio.get_running_loop().time() >= give_up_at:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            return


async def _ended(process: asyncio.subprocess.Process, output: asyncio.Task[None]) -> int:
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({ended, output}, return_when=asyncio.FIRST_COMPLETED)
        if output.done():
            output.result()
        return await ended
    finally:
        ended.cancel()


async def _pump(descriptor: int, on_output: OnOutput) -> None:
    # The reader stops asking the pipe at twice its limit, so a tool that writes faster than we store has to wait.
    reader = asyncio.StreamReader(limit=BLOCK_BYTES)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while block := await reader.read(4 * BLOCK_BYTES):
            await on_output(block)
    finally:
        transport.close()


async def _to_the_end(act: Coroutine[Any, Any, T]) -> T:
    """Wait for `act` whatever happens to us meanwhile; a cancellation is taken up again afterwards."""
    task = asyncio.create_task(act)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


def _members(group: int | None, attempt_id: str | None) -> list[int]:
    """The living processes of the group or with the marker; a zombie is only waiting to be counted by its parent."""
    if not _PROC.is_dir():
        return _group_alone(group)
    marker = f"{MARKER}={attempt_id}".encode() if attempt_id else None
    found: list[int] = []
    for name in os.listdir(_PROC):  # noqa: PTH208 - thousands of names, looked at ten times a second
        if name.isdecimal():
            with contextlib.suppress(OSError):
                if _belongs(name, group, marker):
                    found.append(int(name))
    return found


def _belongs(pid: str, group: int | None, marker: bytes | None) -> bool:
    # The command's name stands in brackets and may hold anything, brackets and blanks included.
    state, _parent, process_group, *_ = (_PROC / pid / "stat").read_bytes().rpartition(b")")[2].split()
    if state in (b"Z", b"X"):
        return False
    if group is not None and int(process_group) == group:
        return True
    return marker is not None and marker in (_PROC / pid / "environ").read_bytes().split(b"\0")


def _group_alone(group: int | None) -> list[int]:
    """Where there is no /proc, the group as a whole, which a signal reaches through its negative number."""
    if group is None:
        return []
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return []
    return [-group]
