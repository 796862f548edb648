"""A program beside the embedded PostgreSQL, which it stops once nobody uses that, for users that cannot themselves.

A command that was killed stops nothing. Nor can another one that ends at the same time tell that it is the last: a
killed process holds its locks until the last of its threads is gone, which the kernel tells nobody. So this program
waits for the lock. It imports nothing of the application, since it starts with each command.
"""

import fcntl
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

FAST_SHUTDOWN = signal.SIGINT


def guard(home: Path, postmaster: int) -> None:
    """Returns once the postmaster has ended; at once when another guard is there."""
    with (home / "postgres.guard").open("a") as only, (home / "postgres.users").open("a") as users:
        try:
            fcntl.flock(only, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its number may be another process's by the time it is wanted.
            process = os.pidfd_open(postmaster)
        except (BlockingIOError, ProcessLookupError):
            return
        # Whoever comes from here on waits for the end, and starts it anew.
        fcntl.flock(users, fcntl.LOCK_EX)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, FAST_SHUTDOWN)
        select.select([process], [], [])


if __name__ == "__main__":
    guard(Path(sys.argv[1]), int(sys.argv[2]))
