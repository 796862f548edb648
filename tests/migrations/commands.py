"""The commands as people type them."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def environment(url: str, keys: tuple[str, ...] = (), home: Path | None = None) -> dict[str, str]:
    given = {"DATABASE_URL": url, "NODEYARD_SECRET_KEYS": ",".join(keys)}
    return {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "NODEYARD_HOME": str(home or "/nonexistent"), **given}


def run(program: str, url: str, *words: str, keys: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAMS / program), *words],
        cwd=PROJECT,
        env=environment(url, keys),
        capture_output=True,
        text=True,
        check=False,
    )
