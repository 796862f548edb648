"""The programs that the demo runs: started again when something kills them, and gone when the demo is."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PAUSE_S = 0.5
_STOP_WITHIN_S = 15.0
_NODEYARD = (sys.executable, "-m", "app")


class Child:
    """One `nodeyard …` command, its output in a file."""

    def __init__(
        self,
        *words: str,
        environment: Mapping[str, str],
        log: Path,
        on_end: Callable[[str, int], None],
        ask_again_after_s: float = _STOP_WITHIN_S,
    ) -> None:
        """`on_end` hears the command's name and exit code whenever it ended by itself, before it is started again.

        To stop it, it is sent SIGTERM, and again after `ask_again_after_s`, which an agent takes as "now".
        """
        self._words = words
        self._environment = environment
        self._log = log
        self._on_end = on_end
        self._ask_again_after_s = ask_again_after_s
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def keep_running(self) -> None:
        """Until cancelled; then the command is stopped and gone."""
        try:
            while True:
                self._process = await self._start()
                self._on_end(self._words[0], await self._process.wait())
                await asyncio.sleep(_PAUSE_S)
        finally:
            await self._stop()

    async def _start(self) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *_NODEYARD,
                *self._words,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the whole foreground group; the demo alone decides when its programs end.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    async def _stop(self) -> None:
        if self._process is None:
            return
        for number, patience_s in (
            (signal.SIGTERM, self._ask_again_after_s),
            (signal.SIGTERM, _STOP_WITHIN_S),
            (signal.SIGKILL, _STOP_WITHIN_S),
        ):
            if self._process.returncode is not None:
                return
            self._process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience_s)


def _end_with_parent() -> None:
    """Even a demo that is killed leaves nothing running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def clean_environment() -> dict[str, str]:
    """The caller's own settings are for the caller's own server."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("NODEYARD_") and name != "DATABASE_URL"
    }
