"""The `nodeyard` command. Each command reads the settings, calls one thing, and says in a sentence what went wrong."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import logs, serving
from app import settings as app_settings
from app.agent import runner
from app.agent import settings as agent_settings
from app.agent.runner import AgentStopped
from app.agent.settings import AgentSettingsError
from app.settings import Settings, SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def main() -> None:
    try:
        app()
    except (SettingsError, AgentSettingsError, AgentStopped) as problem:
        sys.exit(f"nodeyard: {problem}")


@app.callback()
def _group() -> None:
    """Keeps `nodeyard` a group of commands."""


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
