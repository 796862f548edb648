"""make chaos SEED=… MINUTES=… AGENTS=…: breaks a real installation, then asks whether anything was lost.

The seed decides over every fault and every choice of an agent; timing is the machine's, so that a seed replays the
same storm, not the same nanosecond.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from chaos.agents import Agent, World
from chaos.checker import check
from chaos.cluster import REGISTRATION_KEY, Clock, Postgres, Server, libfaketime
from chaos.history import History
from chaos.nemesis import LEASE_S, Battlefield, Nemesis
from chaos.operators import Operator, Watcher
from chaos.proxy import Proxy

FAST = {
    "NODEYARD_HEARTBEAT_INTERVAL_S": "0.5", "NODEYARD_LEASE_S": str(LEASE_S), "NODEYARD_START_WITHIN_S": "2",
    "NODEYARD_CANCEL_WITHIN_S": "3",
}  # fmt: skip
SETTLED_WITHIN_S = 300.0 + 120.0
"""The longest wait before an issue is tried again, and then the work."""
CLEAN, VACUOUS, VIOLATED = 0, 3, 4
"""How the command ends. `VACUOUS`: nothing was wrong, but too little happened for the run to count."""
_DISK = "160m"
_LONGER = 4


@dataclass
class Wanted:
    """How much must have happened for the run to count."""

    lost: int = 100
    stale: int = 100
    unanswered: int = 100
    snapshots: int = 500
    """Looks at all rows of one moment, for caps and slots: about five a second while the database answers."""
    masked: int = 20
    """Attempts whose log has stars where their node wrote the credential's secret."""


@dataclass
class Outcome:
    history: History
    faults: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    log: str = ""
    skipped: list[str] = field(default_factory=list)
    """Faults that cannot be made on this machine, and why."""

    def verdicts(self, wanted: Wanted) -> list[str]:
        """Everything that is wrong; empty for a clean run that counts."""
        counts = self.history.counts
        vacuous = [
            f"only {counts[name]} {name}, {least} are wanted"
            for name, least in (
                ("lost attempts", wanted.lost), ("stale", wanted.stale), ("unanswered", wanted.unanswered),
                ("snapshots", wanted.snapshots), ("masked", wanted.masked),
            )
            if counts[name] < least
        ]  # fmt: skip
        return [*self.history.problems, *vacuous]


async def storm(seed: int, seconds: float, agents: int, servers: int = 2, *, stale: int = 0) -> Outcome:
    """Rages for so many seconds, and on until `stale` writes were refused, at most twice as long again."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="nodeyard-chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with _battlefield(folder, dice, agents, servers) as battle:
            nemesis = Nemesis(battle, dice)
            for agent in battle.agents:
                agent.start()
            with Watcher(battle.world, battle.postgres.url):
                await nemesis.rage(seconds)
                for _ in range(_LONGER):
                    if battle.world.history.counts["stale"] >= stale:
                        break
                    await nemesis.rage(seconds / 2)
                await _settle(battle)
            for agent in battle.agents:
                await agent.stop()
            await check(battle.operator, battle.world.history)
            log = "\n".join(_telling(server.log.read_text()) for server in battle.servers)
            losses = dict(battle.front.done + battle.back.done)
            return Outcome(battle.world.history, dict(nemesis.done), losses, log, _skipped(battle))


def _skipped(battle: Battlefield) -> list[str]:
    reasons = {
        "disk full, since no file system may be mounted here": battle.ballast,
        "clock moved, since libfaketime is not installed": battle.clock,
    }
    return [reason for reason, means in reasons.items() if means is None]


def _telling(log: str) -> str:
    """What the server's log says beside that the database was away, which it was."""
    lines = [line for line in log.splitlines() if "[warning" not in line]
    return "\n".join(lines)[-20_000:]


async def _settle(battle: Battlefield) -> None:
    """The faults have stopped. Every issue must reach an end by itself."""
    battle.world.calm = True
    for server in battle.servers:
        if not server.is_running:
            await server.start()
    await battle.operator.resume_all()
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        counts = [
            await battle.operator.call("GET", f"/issues?status={status}&limit=1", tries=50)
            for status in ("pending", "processing")
        ]
        if all(page["total"] == 0 for page in counts):
            return
        await asyncio.sleep(0.3)


@asynccontextmanager
async def _battlefield(folder: Path, dice: random.Random, agents: int, servers: int) -> AsyncGenerator[Battlefield]:
    with _small_disk(folder) as disk:
        library = libfaketime()
        clock = Clock(library, folder / "clock") if library else None
        postgres = Postgres(disk or folder, clock)
        back = Proxy([postgres.port], random.Random(dice.random()))
        await back.open()
        url = f"postgresql://postgres@127.0.0.1:{back.port}/nodeyard"
        fleet = [Server(folder, url, f"server-{n}", **FAST) for n in range(servers)]
        front = Proxy([server.port for server in fleet], random.Random(dice.random()))
        await front.open()
        http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        world = World(f"http://127.0.0.1:{front.port}", REGISTRATION_KEY, http)
        crew = [Agent(world, n, random.Random(dice.random())) for n in range(agents)]
        operator = Operator(world, random.Random(dice.random()))
        try:
            await postgres.create()
            for n, server in enumerate(fleet):
                await server.start(migrate=n == 0)
            await operator.prepare()
            ballast = None if disk is None else _filler(disk, dice)
            yield Battlefield(world, crew, operator, postgres, fleet, front, back, ballast, clock)
        finally:
            for agent in crew:
                await agent.stop()
            await http.close()
            await front.close()
            await back.close()
            for server in fleet:
                if server.is_running:
                    server.kill()
            postgres.stop()


class _small_disk:  # noqa: N801 - Used as a with-statement's word.
    """A file system of its own for the database, small enough to be filled; None where none may be mounted."""

    def __init__(self, folder: Path) -> None:
        self._at = folder / "disk"
        self._mounted = False

    def __enter__(self) -> Path | None:
        self._at.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=0755", "tmpfs", str(self._at)]
        with suppress(OSError):
            self._mounted = (
                os.geteuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0
            )
        return self._at if self._mounted else None

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", "-l", str(self._at)], check=False)


def _filler(disk: Path, dice: random.Random) -> Callable[[], Awaitable[None]]:
    async def fill_disk() -> None:
        ballast = disk / "ballast"
        try:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
            await asyncio.sleep(dice.random() * 2)
        finally:
            ballast.unlink()

    return fill_disk


def report(seed: int, outcome: Outcome, verdicts: list[str]) -> str:
    counts = outcome.history.counts
    lines = [
        f"seed {seed}: {'CLEAN' if not verdicts else 'NOT CLEAN'}",
        "  " + ", ".join(f"{name} {counts[name]}" for name in sorted(counts)),
        "  faults: " + ", ".join(f"{name} {n}" for name, n in sorted(outcome.faults.items())),
        "  proxies: " + ", ".join(f"{name} {n}" for name, n in sorted(outcome.losses.items())),
        *(f"  skipped: {reason}" for reason in outcome.skipped),
        *(f"  - {verdict}" for verdict in verdicts[:40]),
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--agents", type=int, default=20)
    asked = parser.parse_args()
    outcome = asyncio.run(storm(asked.seed, asked.minutes * 60, asked.agents))
    verdicts = outcome.verdicts(Wanted())
    if verdicts:
        print(outcome.log)
    print(report(asked.seed, outcome, verdicts))
    if outcome.history.problems:
        return VIOLATED
    return VACUOUS if verdicts else CLEAN


if __name__ == "__main__":
    sys.exit(main())
