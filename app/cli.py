"""The `nodeyard` command. Each command reads the settings, calls one thing, and says in a sentence what went wrong."""

import os
import sys
from typing import Annotated

import typer

from app import logs, serving
from app import settings as app_settings
from app.settings import SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def main() -> None:
    try:
        app()
    except SettingsError as problem:
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
