"""What an agent remembers between its starts, in a folder that one agent at a time may use.

lock         held while an agent lives
machine_id   made once; the server knows the node by it
token        the node's token, so that a spooled result can be delivered before registering anew
spool/       see `spool`
"""

import fcntl
import os
from pathlib import Path
from uuid import uuid4


class FolderInUse(Exception):
    """Another agent works with this folder."""


class State:
    def __init__(self, folder: Path) -> None:
        """Opens the folder, making it when there is none. Raises `FolderInUse`, or `OSError` when it cannot be used."""
        self.folder = folder
        self._lock = lock_folder(folder)
        self.machine_id = self._read("machine_id") or self._make_machine_id()
        self.boot_id = str(uuid4())

    @property
    def token(self) -> str | None:
        return self._read("token")

    def keep_token(self, token: str) -> None:
        write_durably(self.folder / "token", token.encode())

    def close(self) -> None:
        os.close(self._lock)

    def _make_machine_id(self) -> str:
        machine_id = str(uuid4())
        write_durably(self.folder / "machine_id", machine_id.encode())
        return machine_id

    def _read(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text().strip() or None
        except FileNotFoundError:
            return None


def lock_folder(folder: Path) -> int:
    """The descriptor that holds the folder; closing it, or the end of the process, lets go.

    Raises `FolderInUse`.
    """
    private_folder(folder)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        os.close(descriptor)
        raise FolderInUse(
            f"Another agent uses {folder}; give this one its own --state-dir and --workspace."
        ) from problem
    return descriptor


def private_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file as a whole: after a power cut it holds the old content or the new, never a part."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
