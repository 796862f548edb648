"""Every command of docs/migrations.md is run, in the scenario that stands above it; the Chinese page has the same."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from app.db import drawing, migrate
from tests.migrations import shapes
from tests.migrations.commands import PROGRAMS, PROJECT
from tests.migrations.conftest import KEYS, MakeDatabase, Server
from tests.migrations.shapes import connected

PAGES = (PROJECT / "docs" / "migrations.md", PROJECT / "docs" / "migrations.zh.md")
BLOCK = re.compile(r"(?:<!-- scenario: (?P<scenarios>[^>]*) -->\n)?```sh\n(?P<commands>.*?)```", re.DOTALL)
COPIED = ("app", "migrations", "Makefile", "alembic.ini", "pyproject.toml", "requirements-dev.lock")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Scenario and commands."""
    return [(found["scenarios"], found["commands"]) for found in BLOCK.finditer(page.read_text())]


RUNS = [
    pytest.param(scenario, commands, id=f"{number}-{scenario.replace(' ', '-')}")
    for number, (scenarios, commands) in enumerate(blocks(PAGES[0]))
    for scenario in scenarios.split(", ")
]


def test_both_pages_have_the_same_commands() -> None:
    assert blocks(PAGES[0]) == blocks(PAGES[1])
    assert all(scenario for scenario, _ in blocks(PAGES[0]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_diagram_is_that_of_the_models(page: Path) -> None:
    assert drawing.redraw(page.read_text()) == page.read_text(), "run make diagram"
    assert "issue ||--o{ attempt : issue_id" in page.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project, in which commands may write, with the environment of the original."""
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, tmp_path / name)
            os.utime(tmp_path / name, (0, 0))  # Older than the environment, which need not be made again.
    (tmp_path / ".venv").symlink_to(PROGRAMS.parent)
    return tmp_path


@pytest.mark.parametrize("server", ["18"], indirect=True)
@pytest.mark.parametrize(("scenario", "commands"), RUNS)
async def test_commands_do_what_the_page_says(
    server: Server, make_database: MakeDatabase, checkout: Path, scenario: str, commands: str
) -> None:
    like = {"fresh": None, "serve": None, "embedded": None, "A": shapes.A, "B": shapes.B, "at head": "A at head"}[
        scenario
    ]
    url = await make_database(like)
    environment = _environment(server, checkout, None if scenario == "embedded" else url)
    if scenario == "serve":
        _serve(commands, checkout, environment)
    else:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    if scenario in {"B", "serve"} or "upgrade head\n" in commands:
        async with connected(url) as connection:
            assert await connection.fetchval("SELECT version_num FROM alembic_version") == migrate.head()


def _environment(server: Server, checkout: Path, url: str | None) -> dict[str, str]:
    given = {"DATABASE_URL": url} if url else {}
    return {
        # The environment's own finder leads to the original; the copy must come first.
        "PYTHONPATH": str(checkout),
        "PATH": f"{PROGRAMS}:{server.binaries}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "NODEYARD_SECRET_KEYS": ",".join(KEYS),
        **given,
    }


def _serve(commands: str, checkout: Path, environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = subprocess.Popen(
        ["bash", "-c", f"exec {commands}"],
        cwd=checkout,
        env={**environment, "NODEYARD_PORT": str(port)},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert serving.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_written_revision_is_named_in_order_and_runs(checkout: Path, newest_server: Server) -> None:
    """A changed model becomes a revision with our names, which goes up and down."""
    models = checkout / "app" / "db" / "models" / "catalogue.py"
    changed = models.read_text().replace(
        "    is_active: Mapped[bool] =",
        "    colour: Mapped[str | None] = mapped_column(index=True)\n    is_active: Mapped[bool] =",
        1,
    )
    models.write_text(changed)
    environment = _environment(newest_server, checkout, newest_server.url)
    commands = 'make drift && exit 1; make migration m="Colour of projects!" && make drift'
    done = subprocess.run(
        ["bash", "-c", commands], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    number = len(migrate.revisions_after("001_initial_schema")) + 2
    written = checkout / "migrations" / "versions" / f"{number:03d}_colour_of_projects.py"
    text = written.read_text()
    assert "ix_project_colour" in text
    assert "\nData: " in text
    assert f"down_revision = '{migrate.head()}'" in text


def test_there_is_one_head_and_files_sort_as_they_run() -> None:
    files = sorted(path.stem for path in (PROJECT / "migrations" / "versions").glob("*.py"))
    ordered = ["001_initial_schema", *reversed(migrate.revisions_after("001_initial_schema"))]
    assert files == ordered


def test_every_revision_says_what_it_does_to_data() -> None:
    for path in (PROJECT / "migrations" / "versions").glob("*.py"):
        assert "\nData: " in path.read_text(), path
        assert "Data: say here" not in path.read_text(), path
