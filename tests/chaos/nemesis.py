"""What breaks things, by a seeded dice: which fault, on whom, for how long."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import asyncpg
import psutil
from chaos.agents import Agent, World, pause
from chaos.cluster import Clock, Postgres, Server, thaw
from chaos.operators import Operator
from chaos.proxy import Proxy, Weather

LEASE_S = 3.0


@dataclass
class Battlefield:
    world: World
    agents: list[Agent]
    operator: Operator
    postgres: Postgres
    servers: list[Server]
    front: Proxy
    back: Proxy
    ballast: Callable[[], Awaitable[None]] | None = None
    """Fills the disk for a moment; None where no small file system may be mounted."""
    clock: Clock | None = None
    """The database's; None where libfaketime is not installed."""


class Nemesis:
    def __init__(self, field: Battlefield, dice: random.Random) -> None:
        self.field, self.dice = field, dice
        self.done: Counter[str] = Counter()
        often: list[Callable[[], Awaitable[None]]] = [
            self.restart_agents, self.restart_agents, self.cut_connections, self.change_weather, self.change_weather,
            field.operator.act_on_issue, field.operator.act_on_issue,
        ]  # fmt: skip
        rarely: list[Callable[[], Awaitable[None]]] = [
            self.kill_server, self.kill_worker, self.terminate_server, self.stop_server, self.kill_postmaster,
            self.kill_backend, self.end_backend, self.freeze_backend, self.freeze_database, self.cut_database,
            self.exhaust_pool, self.idle_transaction, field.operator.delete_node, field.operator.steer_node,
            field.operator.rotate_key, field.operator.revoke_token, field.operator.link_credential,
            field.operator.replace_secret, field.operator.delete_issue, field.operator.delete_issue,
        ]  # fmt: skip
        if field.ballast is not None:
            rarely.append(field.ballast)
        if field.clock is not None:
            rarely.append(self.move_clock)
        self._often, self._rarely = often, rarely

    async def rage(self, seconds: float) -> None:
        """Every rare fault in turn, in an order of the dice, and the frequent ones all along."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(self._repeat(self._in_turn(self._rarely), 0.4))
                group.create_task(self._repeat(lambda: self.dice.choice(self._often), 0.15))
                group.create_task(self._repeat(lambda: self.pause_agents, 0.5))
                group.create_task(self._repeat(lambda: self.field.operator.queue_issues, 0.4))
        self.field.front.weather = self.field.back.weather = Weather()

    def _in_turn(self, faults: list[Callable[[], Awaitable[None]]]) -> Callable[[], Callable[[], Awaitable[None]]]:
        left: list[Callable[[], Awaitable[None]]] = []

        def following() -> Callable[[], Awaitable[None]]:
            if not left:
                left.extend(self.dice.sample(faults, len(faults)))
            return left.pop()

        return following

    async def _repeat(self, following: Callable[[], Callable[[], Awaitable[None]]], apart_s: float) -> None:
        while True:
            fault = following()
            self.done[fault.__name__] += 1
            # A fault that was begun is ended also when the time is over.
            await asyncio.shield(asyncio.ensure_future(self._careful(fault)))
            await asyncio.sleep(self.dice.random() * apart_s)

    async def _careful(self, fault: Callable[[], Awaitable[None]]) -> None:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, psutil.Error):
            await fault()

    # Servers.

    async def kill_server(self) -> None:
        server = self.dice.choice(self.field.servers)
        server.kill()
        await asyncio.sleep(self.dice.random() * 0.5)
        await server.start()

    async def kill_worker(self) -> None:
        """The one process that serves, under the parent that started it."""
        server = self.dice.choice(self.field.servers)
        workers = server.processes()[1:]
        if workers:
            workers[-1].kill()
            await asyncio.sleep(0.5)
        server.kill()
        await server.start()

    async def terminate_server(self) -> None:
        server = self.dice.choice(self.field.servers)
        took = await server.terminate()
        if took > 6:
            log = server.log.read_text()[-500:]
            self.field.world.history.problem(f"a server took {took:.1f} s to end after SIGTERM: {log}")
        await server.start()

    async def stop_server(self) -> None:
        await self._suspend(self.dice.choice(self.field.servers).processes(), LEASE_S * 1.5)

    # The database.

    async def kill_postmaster(self) -> None:
        self.field.postgres.kill_postmaster()
        await asyncio.sleep(self.dice.random())
        await self.field.postgres.start()

    async def kill_backend(self) -> None:
        """PostgreSQL then restarts all of them."""
        await self._signal_backend(signal.SIGKILL)

    async def end_backend(self) -> None:
        await self._signal_backend(signal.SIGTERM)

    async def _signal_backend(self, number: signal.Signals) -> None:
        backends = self.field.postgres.backends()
        if backends:
            self.dice.choice(backends).send_signal(number)

    async def freeze_backend(self) -> None:
        backends = self.field.postgres.backends()
        if backends:
            await self._suspend([self.dice.choice(backends)], 3)

    async def freeze_database(self) -> None:
        stopped = self.field.postgres.freeze()
        await asyncio.sleep(self.dice.random() * LEASE_S * 1.5)
        thaw(stopped)

    async def cut_database(self) -> None:
        self.field.back.cut_all()

    async def move_clock(self) -> None:
        """Past every lease, or before what was just written; and back after a moment."""
        assert self.field.clock is not None
        self.field.clock.move(self.dice.choice((-1, 1)) * self.dice.randint(2, 20))
        await asyncio.sleep(1 + self.dice.random() * LEASE_S)
        self.field.clock.move(0)

    async def idle_transaction(self) -> None:
        """Somebody's session that holds rows and does nothing."""
        connection = await asyncpg.connect(self.field.postgres.url, timeout=2, command_timeout=5)
        try:
            await connection.execute("BEGIN")
            await connection.execute("SELECT 1 FROM issue WHERE status = 'processing' LIMIT 3 FOR UPDATE SKIP LOCKED")
            await asyncio.sleep(self.dice.random() * 2)
        finally:
            connection.terminate()

    async def exhaust_pool(self) -> None:
        """Lists that wait for a locked table take every connection that operators have."""
        connection = await asyncpg.connect(self.field.postgres.url, timeout=2, command_timeout=5)
        try:
            await connection.execute("BEGIN")
            await connection.execute("LOCK TABLE prompt IN ACCESS EXCLUSIVE MODE")
            lists = [asyncio.ensure_future(self.field.operator.call("GET", "/prompts")) for _ in range(24)]
            await asyncio.sleep(1.5)
        finally:
            connection.terminate()
        await asyncio.gather(*lists)

    async def _suspend(self, processes: list[psutil.Process], at_most_s: float) -> None:
        for process in processes:
            process.suspend()
        try:
            await asyncio.sleep(self.dice.random() * at_most_s)
        finally:
            thaw(processes)

    # The network and the nodes.

    async def change_weather(self) -> None:
        storm = self.dice.random() < 0.6
        self.field.front.weather = (
            Weather(refuse=0.05, drop_request=0.03, cut_answer=0.08, delay=0.1, delay_s=0.4) if storm else Weather()
        )
        self.field.back.weather = (
            Weather(drop_request=0.001, cut_answer=0.001, delay=0.002, delay_s=0.3)
            if storm and self.dice.random() < 0.3
            else Weather()
        )
        await asyncio.sleep(self.dice.random())

    async def cut_connections(self) -> None:
        self.field.front.cut_all()

    async def pause_agents(self) -> None:
        """Past the lease, so that their attempts are lost and their next writes are stale."""
        some = self.dice.sample(self.field.agents, max(1, len(self.field.agents) // 2))
        await asyncio.gather(*(pause(agent, LEASE_S + 1 + self.dice.random()) for agent in some))

    async def restart_agents(self) -> None:
        for agent in self.dice.sample(self.field.agents, max(1, len(self.field.agents) // 6)):
            await agent.restart(resume=self.dice.random() < 0.7)
