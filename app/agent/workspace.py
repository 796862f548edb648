"""The folder in which attempts work.

lock                 held while an agent works here
mirrors/<name>.git   one per repository
attempts/<id>/       one per attempt: tree, prompt.md, message, usage.json
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import structlog

from app.agent import git, process
from app.agent.attempt import attempts_folder

log = structlog.stdlib.get_logger(__name__)


async def recover(workspace: Path) -> None:
    """After a crash: stop what former attempts left running, and remove the locks that their git left."""
    former = [folder.name for folder in _attempts(workspace)]
    await asyncio.gather(*(process.end(None, attempt_id) for attempt_id in former))
    await asyncio.to_thread(git.sweep_locks, workspace)


def sweep(workspace: Path, *, older_than: timedelta, live: Collection[UUID]) -> None:
    """Remove the working copies of attempts that ended that long ago."""
    for folder in _attempts(workspace):
        with contextlib.suppress(FileNotFoundError):
            if UUID(folder.name) not in live and time.time() - folder.stat().st_mtime > older_than.total_seconds():
                log.info("workspace_removed", attempt_id=folder.name)
                shutil.rmtree(folder, ignore_errors=True)


def _attempts(workspace: Path) -> list[Path]:
    found: list[Path] = []
    for entry in os.scandir(attempts_folder(workspace)):
        with contextlib.suppress(ValueError):
            UUID(entry.name)
            found.append(Path(entry.path))
    return found
