"""The `nodeyard` command. Each command reads the settings, calls one thing, and says in a sentence what went wrong."""

import asyncio
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from alembic.util import CommandError

from app import administration, logs, serving
from app import settings as app_settings
from app.agent import runner
from app.agent import settings as agent_settings
from app.agent.runner import AgentStopped
from app.agent.settings import AgentSettingsError
from app.asgi import create_app
from app.db import adopt as adoption
from app.db import authoring, drawing, embedded
from app.db import migrate as database
from app.demo import show
from app.http import description
from app.settings import Settings, SettingsError
from app.vault import existing_keys

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

# The demo is a world of its own: a caller's DATABASE_URL and keys are for the caller's server.
_DEMO_HEEDS = ("NODEYARD_HOME", "NODEYARD_HOST", "NODEYARD_PORT")


def main() -> None:
    try:
        app()
    except (SettingsError, AgentSettingsError, AgentStopped, CommandError) as problem:
        sys.exit(f"nodeyard: {problem}")


@app.callback()
def _group() -> None:
    """Keeps `nodeyard` a group of commands."""


app.command("create-admin")(administration.create_admin)
app.command("registration-key")(administration.registration_key)
app.command("rotate-secrets")(administration.rotate_secrets)


@app.command()
def serve(
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring the database to the newest revision first.")
    ] = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C."""
    settings = app_settings.read(os.environ)
    logs.configure(settings)
    serving.serve(settings, migrate_first=migrate)


@app.command()
def agent(
    *,
    server: Annotated[str | None, typer.Option(envvar="NODEYARD_SERVER_URL", help="http(s)://host:port")] = None,
    registration_key: Annotated[str | None, typer.Option(envvar="NODEYARD_REGISTRATION_KEY")] = None,
    registration_key_file: Annotated[
        Path | None, typer.Option(envvar="NODEYARD_REGISTRATION_KEY_FILE", dir_okay=False, exists=True)
    ] = None,
    name: Annotated[str | None, typer.Option(envvar="NODEYARD_NODE_NAME", help="Default: the host's name.")] = None,
    tags: Annotated[str | None, typer.Option(envvar="NODEYARD_TAGS", help="Comma-separated.")] = None,
    slots: Annotated[int, typer.Option(envvar="NODEYARD_SLOTS", help="Attempts at a time, 1 to 1000.")] = 1,
    workspace: Annotated[
        Path | None, typer.Option(envvar="NODEYARD_WORKSPACE", help="Default: workspace in the state folder.")
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(envvar="NODEYARD_STATE_DIR", help="Default: ~/.nodeyard-agent.")
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(metavar="CATEGORY=COMMAND", help="May be repeated. Default: claude, cursor-agent, copilot."),
    ] = None,
    drain_within: Annotated[
        float, typer.Option(envvar="NODEYARD_DRAIN_WITHIN_S", help="Seconds that running work has after SIGTERM.")
    ] = 600,
    log_level: Annotated[str, typer.Option(envvar="NODEYARD_LOG_LEVEL")] = "info",
) -> None:
    """Run a node: claim issues, work on them in git, deliver branches. SIGTERM drains, a second one stops."""
    if registration_key_file is not None:
        registration_key = registration_key_file.read_text().strip()
    logs.configure(Settings(log_level=log_level))
    settings = agent_settings.read(
        server=server,
        registration_key=registration_key,
        name=name,
        tags=tags,
        slots=slots,
        workspace=workspace,
        state_dir=state_dir,
        tool=tool or [],
        drain_within_s=drain_within,
    )
    asyncio.run(runner.run(settings))


@app.command()
def demo() -> None:
    """Watch sample issues become branches on this machine alone, until Ctrl-C."""
    show.run(app_settings.read({name: os.environ[name] for name in _DEMO_HEEDS if name in os.environ}))


@app.command()
def migrate() -> None:
    """Bring the database to the newest revision."""
    with _database() as (url, settings):
        asyncio.run(database.upgrade(url, keys=existing_keys(settings)))
    print(f"The database is at {database.head()}.")


@app.command()
def adopt(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do what the plan says.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL and change nothing.")] = False,
) -> None:
    """Take over the database of an existing installation, as one transaction; without --yes, only say what is there."""
    with _database() as (url, settings):
        found = asyncio.run(database.with_connection(url, adoption.look))
        for line in adoption.describe(found):
            print(f"-- {line}" if dry_run else line)
        if found.kind == "unknown":
            raise adoption.NotAdopted("The database was not adopted.")
        if dry_run:
            print(adoption.sql(found))
        elif yes and found.kind != "ours":
            keys = existing_keys(settings)
            asyncio.run(database.with_connection(url, lambda each: adoption.act(each, keys, print)))
            print(f"The database is at {database.head()}.")
        elif found.kind != "ours":
            print("Back up the database, stop the old server, and run this again with --yes.")


@app.command()
def migration(message: Annotated[str, typer.Argument(help="What it does, in a few words.")]) -> None:
    """Write the next revision from what the models have and the newest revision has not."""
    if not message.strip():
        raise SettingsError('Say what the revision does: make migration m="…".')
    with _database() as (url, _):
        print(asyncio.run(authoring.write_revision(url, message)))


@app.command()
def drift() -> None:
    """Fail when the migrations do not make what the models say."""
    with _database() as (url, _):
        found = asyncio.run(authoring.drift(url))
    if found:
        raise SettingsError("Models and migrations differ:\n  " + "\n  ".join(found))
    print("Models and migrations agree.")


@app.command(hidden=True)
def openapi(file: Path) -> None:
    """Write the description of the API."""
    file.write_bytes(description.document(create_app(Settings(secret_keys=("only to describe",)))))


@app.command()
def diagram(files: Annotated[list[Path], typer.Argument(help="Documents with a diagram between its marks.")]) -> None:
    """Draw the tables of the models anew in the given documents."""
    for file in files:
        file.write_text(drawing.redraw(file.read_text()))


@contextmanager
def _database() -> Generator[tuple[str, Settings]]:
    """The URL of the database, whatever its revision; the embedded one runs as long as the block."""
    settings = app_settings.read(os.environ)
    logs.configure(settings)
    with embedded.url_of(settings) as url:
        yield url, settings
