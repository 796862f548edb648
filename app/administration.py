"""What an administrator does at the machine itself: the first account, the registration key, the keys of secrets."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from app import serving
from app import settings as app_settings
from app.db.engine import Database, open_database
from app.domain.accounts import bootstrap
from app.domain.credentials import sealing
from app.domain.nodes import registration_key as keys
from app.errors import AppError
from app.settings import Settings, SettingsError
from app.vault import UnknownKey, open_vault

Answer = TypeVar("Answer")


def create_admin(
    email: Annotated[str, typer.Option(envvar="NODEYARD_ADMIN_EMAIL", prompt=True)],
    password: Annotated[
        str, typer.Option(envvar="NODEYARD_ADMIN_PASSWORD", prompt=True, hide_input=True, confirmation_prompt=True)
    ],
) -> None:
    """Make a superuser, or make an account one and give it this password."""

    async def act(db: Database, _: Settings) -> None:
        async with db.sessions.begin() as session:
            await bootstrap.make_superuser(session, email, password)

    _with_database(act)
    typer.echo(f"{email.lower()} is a superuser.")


def registration_key(
    *,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new key.")] = False,
    grace: Annotated[float, typer.Option("--grace-s", min=0, help="Seconds that the former key stays valid.")] = 3600,
) -> None:
    """Print the key that registers nodes; make it when there is none."""

    async def act(db: Database, settings: Settings) -> str:
        vault = open_vault(settings)
        async with db.sessions.begin() as session:
            await keys.ensure(session, vault, settings.registration_key)
            if rotate:
                return (await keys.rotate(session, vault, timedelta(seconds=grace))).key
            return (await keys.show(session, vault)).key

    typer.echo(_with_database(act))


def rotate_secrets() -> None:
    """Seal every secret under the newest of NODEYARD_SECRET_KEYS, while servers run."""

    async def act(db: Database, settings: Settings) -> int:
        return await sealing.rotate(db, open_vault(settings))

    typer.echo(f"{_with_database(act)} secrets were sealed anew.")


def _with_database(act: Callable[[Database, Settings], Awaitable[Answer]]) -> Answer:
    async def run(settings: Settings) -> Answer:
        db = await open_database(settings.database_url or "")
        try:
            return await act(db, settings)
        except (AppError, UnknownKey) as refusal:
            raise SettingsError(str(refusal)) from refusal
        finally:
            await db.close()

    with serving.database(app_settings.read(os.environ)) as settings:
        return asyncio.run(run(settings))
