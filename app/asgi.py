"""The composition root: settings in, application out."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from sqlalchemy import func, select

from app import deps, shutdown
from app.background import Loops
from app.db import sealing
from app.db.engine import Database, open_database
from app.domain.accounts import bootstrap, doors
from app.domain.dashboard import tallies
from app.domain.dashboard.feed import Feed
from app.domain.issues import fleet
from app.domain.issues.dispatch import Dispatch
from app.domain.issues.fleet import Fleet
from app.domain.issues.node_api import AttemptController, ClaimController
from app.domain.nodes import registration_key
from app.domain.nodes.node_api import NodeController
from app.domain.nodes.roll_call import RollCall
from app.http import description, health, metrics, operators, problems, shortcut, swagger
from app.http.admission import Admission
from app.http.bodies import StrictRequest
from app.http.requests import JsonOnly, logged
from app.metering import Meter
from app.protocol import BODY_MAX_BYTES
from app.settings import Settings, SettingsError
from app.upkeep import TICK_S, Upkeep
from app.vault import Vault, open_vault
from app.web import pages

NODES = [NodeController, ClaimController, AttemptController]
_ADVISORY_KEY = 7_004
FINISH_WITHIN_S = 1.5
"""What is under way when the server is told to stop. All in all it has a second and a half more (see `app.serving`)."""


def create_app(settings: Settings) -> Litestar:
    """The whole server. `settings.database_url` must be set; the command line starts an embedded one if need be."""
    vault, admission, meter = open_vault(settings), Admission(), Meter()
    app = Litestar(
        route_handlers=[
            Router("/api/v1", route_handlers=[*operators.CONTROLLERS, *NODES]),
            *health.HANDLERS,
            metrics.metrics,
            *pages.handlers,
            swagger.router(),
        ],
        state=State({"settings": settings, "vault": vault, "meter": meter}),
        lifespan=[_running(settings, vault, admission, meter)],
        dependencies={
            "db": Provide(_database, sync_to_thread=False),
            "session": Provide(deps.provide_session),
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "vault": Provide(lambda: vault, sync_to_thread=False),
            "viewer": Provide(deps.provide_viewer),
            "visitor": Provide(deps.provide_visitor),
            "paging": Provide(deps.provide_paging, sync_to_thread=False),
            "node": Provide(deps.provide_node),
            "token": Provide(deps.provide_node_token, sync_to_thread=False),
            "feed": Provide(_feed, sync_to_thread=False),
            "stopping": Provide(_stopping, sync_to_thread=False),
            "fleet": Provide(_fleet, sync_to_thread=False),
            "roll_call": Provide(_roll_call, sync_to_thread=False),
        },
        middleware=[JsonOnly()],
        logging_config=None,
        request_class=StrictRequest,
        exception_handlers=problems.HANDLERS,
        request_max_body_size=BODY_MAX_BYTES,
        openapi_config=description.config(),
        plugins=[description.Described()],
    )
    app.asgi_handler = logged(admission.around(shortcut.around(app)), meter)
    return app


def _database(state: State) -> Database:
    return state.db


def _feed(state: State) -> Feed:
    return state.feed


def _stopping(state: State) -> asyncio.Event:
    return state.stopping


def _fleet(state: State) -> Fleet:
    return state.fleet


def _roll_call(state: State) -> RollCall:
    return state.roll_call


def _running(
    settings: Settings, vault: Vault, admission: Admission, meter: Meter
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        if settings.database_url is None:
            raise SettingsError("DATABASE_URL is not set and no embedded database was started.")
        with shutdown.watching() as stopping:
            db = await open_database(settings.database_url)
            crew, roll_call = fleet.assemble(db, settings, vault, meter), RollCall(db, settings, meter)
            feed = Feed(db)
            admission.watch(db.pulse)
            db.pulse.when_lost(crew.dispatch.let_go)
            app.state.update(
                {
                    "feed": feed,
                    "db": db,
                    "stopping": stopping,
                    "fleet": crew,
                    "roll_call": roll_call,
                    "notices": db.notices,
                }
            )
            try:
                await sealing.seal_clear_text(db.engine, vault)
                await _prepare(db, settings, vault)
                async with Loops() as loops:
                    loops.every(0, "dispatch", crew.dispatch.run)
                    loops.every(5, "tallies", partial(tallies.add_up_once, db))
                    loops.every(600, "doors", partial(doors.forget_once, db))
                    loops.every(0, "events", feed.run)
                    loops.every(0, "notices", db.notices.run)
                    loops.every(0, "pulse", db.pulse.run)
                    loops.every(0, "stop", partial(_let_go, stopping, crew.dispatch, admission))
                    loops.every(TICK_S, "upkeep", Upkeep(db, settings, crew.dispatch, roll_call).run_once)
                    loops.every(30, "roll call", roll_call.count)
                    yield
            finally:
                stopping.set()
                await db.close()

    return lifespan


async def _prepare(db: Database, settings: Settings, vault: Vault) -> None:
    """The rows that every installation has. Servers that start together wait for each other."""
    async with db.sessions.begin() as session:
        await session.execute(select(func.pg_advisory_xact_lock(_ADVISORY_KEY)))
        await registration_key.ensure(session, vault, settings.registration_key)
        if settings.admin_email and settings.admin_password:
            await bootstrap.ensure_superuser(session, settings.admin_email, settings.admin_password)


async def _let_go(stopping: asyncio.Event, dispatch: Dispatch, admission: Admission) -> None:
    await stopping.wait()
    dispatch.close()
    await asyncio.sleep(FINISH_WITHIN_S)
    admission.close()
    await asyncio.Future()
