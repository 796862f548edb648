"""`make demo`: a server, a node and a few issues on this machine alone, until Ctrl-C.

    .nodeyard/demo/postgres    the embedded database
    .nodeyard/demo/shop.git    the sample repository, with the branches that the node delivers
    .nodeyard/demo/*.log       what server and node say

Everything is made anew at each start and removed at the end.
"""

import asyncio
import fcntl
import secrets
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import typer

from app.db import embedded
from app.demo import sample
from app.demo.children import Child, clean_environment
from app.demo.journey import Journeys
from app.demo.operator import Operator
from app.settings import Settings, SettingsError

_EMAIL = "demo@example.com"
_HEARTBEAT_INTERVAL_S = 2
_LEASE_S = 30
_NODE_ASKED_AGAIN_AFTER_S = 0.3


def run(settings: Settings) -> None:
    """Blocks until SIGINT or SIGTERM. Raises `SettingsError` when another demo runs in the same place."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _own_folder(settings.home) as home:
            typer.echo("Starting PostgreSQL, a server and a node …")
            # Held as long as the demo lives: the database outlives a server that is killed, and ends with the demo.
            with embedded.running(home):
                asyncio.run(_show(home, settings.host, _free_port(settings.host, settings.port)))
    except KeyboardInterrupt:
        pass
    typer.echo("Everything is stopped.")


async def _show(home: Path, host: str, port: int) -> None:
    password = secrets.token_urlsafe(9)
    key = f"demo-{secrets.token_urlsafe(24)}"
    url = f"http://{host}:{port}"
    server = Child(
        "serve",
        environment={
            **clean_environment(),
            "NODEYARD_HOME": str(home),
            "NODEYARD_HOST": host,
            "NODEYARD_PORT": str(port),
            "NODEYARD_ADMIN_EMAIL": _EMAIL,
            "NODEYARD_ADMIN_PASSWORD": password,
            "NODEYARD_REGISTRATION_KEY": key,
            "NODEYARD_HEARTBEAT_INTERVAL_S": str(_HEARTBEAT_INTERVAL_S),
            "NODEYARD_LEASE_S": str(_LEASE_S),
        },
        log=home / "server.log",
        on_end=_tell_end,
    )
    node = Child(
        "agent",
        f"--server={url}",
        "--name=demo-node",
        "--slots=2",
        f"--state-dir={home / 'node'}",
        f"--tool=demo={shlex.join((sys.executable, '-m', 'app.demo.tool'))}",
        environment={**clean_environment(), "NODEYARD_REGISTRATION_KEY": key},
        log=home / "node.log",
        on_end=_tell_end,
        ask_again_after_s=_NODE_ASKED_AGAIN_AFTER_S,
    )
    operator = Operator(url, _EMAIL, password)
    told_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    # In the order in which they end: the node gives its work back while there is a server to take it.
    tasks = [
        asyncio.create_task(act)
        for act in (_tour(operator, home, url, password), node.keep_running(), server.keep_running())
    ]
    stopping = asyncio.create_task(told_to_stop.wait())
    try:
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        typer.echo("\nStopping …")
        for task in tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await operator.aclose()


async def _tour(operator: Operator, home: Path, url: str, password: str) -> None:
    remote = await asyncio.to_thread(sample.make_repository, home)
    await operator.log_in()
    typer.echo(
        f"\n  Page      {url}\n  Login     {_EMAIL}\n  Password  {password}\n"
        f"\n  Git       {remote.as_uri()}\n  Logs      {home}/server.log, node.log\n"
    )
    began = time.monotonic()
    journeys = Journeys(operator, remote, lambda line: typer.echo(f"{time.monotonic() - began:6.1f} s  {line}"))
    for number, issue in enumerate(sample.ISSUES, start=1):
        created = await operator.call("POST", "/issues", issue.body(remote.as_uri(), number))
        journeys.expect(created["id"], issue)
    async with asyncio.TaskGroup() as group:
        group.create_task(journeys.follow())
        await journeys.ended.wait()
        typer.echo(
            f"\nEvery sample issue has come to its end. Look at the branches with\n"
            f"    git -C {shlex.quote(str(remote))} log --oneline --all\n"
            "or create an issue of your own on the page. Ctrl-C stops everything.\n"
        )


def _tell_end(name: str, code: int) -> None:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    typer.echo(f"          nodeyard {name} {how}: starting it again")


@contextmanager
def _own_folder(parent: Path) -> Generator[Path]:
    """A fresh folder that no other demo uses, gone at the end. Raises `SettingsError`."""
    parent.mkdir(parents=True, exist_ok=True)
    home = parent / "demo"
    with (parent / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise SettingsError("A demo runs here already. Set NODEYARD_HOME to run another beside it.") from problem
        _clear(home)
        home.mkdir(mode=0o755)
        try:
            yield home
        finally:
            _clear(home)


def _clear(home: Path) -> None:
    if (home / "postgres" / "postmaster.pid").exists():
        # A demo that was killed left its database running, or being stopped: the last to leave stops it.
        with embedded.running(home):
            pass
    shutil.rmtree(home, ignore_errors=True)


def _free_port(host: str, wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SettingsError(f"{host} has no free port.")
