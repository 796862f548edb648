"""What one attempt has to tell the server, on disk until the server has acknowledged it.

    log.jsonl     one `LogEntry` a line; the line's number is its seq
    usage.json    the totals so far
    finish.json   how the attempt ended; nothing is added after it

The server skips what it has and names the gap where it lacks something, so sending from an old position after a
restart does no harm. A full disk costs log entries and never the result, which then lives in memory.
"""

import asyncio
import os
import shutil
from array import array
from bisect import bisect_right
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from app.agent.state import private_folder, sync_folder, write_durably
from app.protocol import LOG_ENTRIES_MAX, Finish, LogBatch, LogEntry, Usage

T = TypeVar("T", bound=Struct)

# Under the server's 1 MiB, with room for the names around the entries.
_BATCH_BYTES = 900 * 1024


class Spool:
    def __init__(self, folder: Path) -> None:
        """Opens the spool of an attempt, making it when there is none. Raises `OSError`."""
        self.folder = private_folder(folder)
        self.changed = asyncio.Event()
        self._log = os.open(folder / "log.jsonl", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._ends = _ends_of_lines(self._log)
        # An entry whose writing was cut by a crash was never counted, and so never sent.
        os.ftruncate(self._log, self._offset(self.next_seq))
        self.acknowledged = 0
        self.usage = _load(folder / "usage.json", Usage)
        self.usage_sent = self.usage is None
        self.finish = _load(folder / "finish.json", Finish)

    @property
    def next_seq(self) -> int:
        return len(self._ends)

    def append(self, entry: LogEntry) -> None:
        """Give the entry the next seq. Raises `OSError` when the disk refuses it; the log is then as it was."""
        line = msgspec.json.encode(entry) + b"\n"
        start = self._offset(self.next_seq)
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._log, line[written:], start + written)
        except OSError:
            os.ftruncate(self._log, start)
            raise
        self._ends.append(start + len(line))

    def keep_usage(self, usage: Usage) -> None:
        self.usage, self.usage_sent = usage, False
        write_durably(self.folder / "usage.json", msgspec.json.encode(usage))

    def keep_finish(self, finish: Finish) -> None:
        """The result is held in memory even where the disk refuses it; that is then raised as `OSError`."""
        self.finish = finish
        os.fsync(self._log)
        write_durably(self.folder / "finish.json", msgspec.json.encode(finish))

    def pending(self) -> LogBatch | None:
        """The oldest entries that were not acknowledged, as many as one request takes."""
        first = self.acknowledged
        start = self._offset(first)
        last = min(self.next_seq, first + LOG_ENTRIES_MAX, bisect_right(self._ends, start + _BATCH_BYTES))
        if last <= first:
            return None
        os.fsync(self._log)
        lines = os.pread(self._log, self._offset(last) - start, start).splitlines()
        return LogBatch(first, [msgspec.json.decode(line, type=LogEntry) for line in lines])

    def acknowledge(self, next_seq: int) -> None:
        """The server has every entry below `next_seq`, and lacks that one."""
        self.acknowledged = min(next_seq, self.next_seq)

    def discard(self) -> None:
        """Everything was delivered, or nobody wants it any more."""
        os.close(self._log)
        shutil.rmtree(self.folder, ignore_errors=True)
        sync_folder(self.folder.parent)

    def close(self) -> None:
        os.close(self._log)

    def _offset(self, seq: int) -> int:
        return self._ends[seq - 1] if seq else 0


def waiting(root: Path) -> list[UUID]:
    """The attempts of former starts that still have something to tell."""
    found: list[UUID] = []
    for folder in private_folder(root).iterdir():
        try:
            found.append(UUID(folder.name))
        except ValueError:
            continue
    return found


def _ends_of_lines(descriptor: int) -> "array[int]":
    ends = array("Q")
    offset = 0
    while block := os.pread(descriptor, 1024 * 1024, offset):
        at = block.find(b"\n")
        while at >= 0:
            ends.append(offset + at + 1)
            at = block.find(b"\n", at + 1)
        offset += len(block)
    return ends


def _load(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
