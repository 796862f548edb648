"""The agent: registers, beats, claims up to its slots, and stops as it is told.

SIGTERM or SIGINT drains: nothing new is claimed, what runs may finish for `drain_within`, the rest is released. A
second signal releases at once. Heartbeats go on until the end, so that nobody takes the work away meanwhile.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from msgspec import Struct

from app.agent import jitter, spool, workspace
from app.agent.attempt import Attempt, Grounds, Stop
from app.agent.client import Client, NotTaking, Refused, StaleBoot, Unreachable
from app.agent.delivery import Delivery
from app.agent.membership import Membership, NotAdmitted
from app.agent.settings import AgentSettings
from app.agent.spool import Spool
from app.agent.state import FolderInUse, State, lock_folder
from app.protocol import Action, Claim, HeldAttempt, Offer

log = structlog.stdlib.get_logger(__name__)

_LAST_WORDS_WITHIN_S = 5.0
_SWEEP_EVERY_S = 3600.0
_LOOK_AT_DISK_EVERY_S = 10.0
_SHORT_POLL_S = 1.0


class AgentStopped(Exception):
    """The agent cannot go on; the message says why."""


class _Held(Struct, eq=False):
    """An attempt of this node, from its offer until its result is delivered."""

    state: str
    attempt: Attempt | None = None


async def run(settings: AgentSettings) -> None:
    """Work until told to stop. Raises `AgentStopped`."""
    try:
        state = State(settings.state_dir)
    except (FolderInUse, OSError) as problem:
        raise AgentStopped(str(problem)) from problem
    client = Client(settings.server_url)
    try:
        workspace_lock = lock_folder(settings.workspace)
        try:
            await Runner(settings, state, client).run()
        finally:
            os.close(workspace_lock)
    except (FolderInUse, NotAdmitted) as problem:
        raise AgentStopped(str(problem)) from problem
    except StaleBoot as problem:
        raise AgentStopped("Another agent took this node's place.") from problem
    finally:
        await client.aclose()
        state.close()


class Runner:
    def __init__(self, settings: AgentSettings, state: State, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._state = state
        self._spools = settings.state_dir / "spool"
        self._membership = Membership(client, settings, state)
        self._grounds = Grounds(client, settings.state_dir, settings.workspace, settings.tools, {})
        self._held: dict[UUID, _Held] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._working = 0
        self._slot_freed = asyncio.Event()
        self._drain = asyncio.Event()
        self._halt = asyncio.Event()

    async def run(self) -> None:
        """Raises `NotAdmitted` and `StaleBoot`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        for tool in self._settings.missing:
            log.warning("tool_missing", category=tool.category, program=tool.argv[0])
        if not await self._first_of(self._drain.wait(), self._join()):
            return
        beating = asyncio.create_task(self._membership.beat(self._free_slots, self._naming, self._obey))
        try:
            await self._first_of(self._drain.wait(), beating, self._claim_for_ever(), self._sweep_for_ever())
            log.info("draining", running=self._working)
            await self._first_of(self._halt.wait(), beating, self._until_idle(self._settings.drain_within))
            await self._release_all()
        except StaleBoot:
            await self._stop_all(Stop.ABANDON)
            raise
        finally:
            await _cancelled(beating, *self._deliveries)
        await self._say_goodbye()

    def _told_to_stop(self) -> None:
        (self._halt if self._drain.is_set() else self._drain).set()

    @staticmethod
    async def _first_of(*acts: Coroutine[Any, Any, Any] | asyncio.Task[None]) -> bool:
        """Wait until one of them ends; the coroutines among the others are cancelled. False when it was the first.

        Raises what the one that ended raised.
        """
        tasks = [act if isinstance(act, asyncio.Task) else asyncio.create_task(act) for act in acts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(*(task for task, act in zip(tasks, acts, strict=True) if task is not act))
        for task in done:
            task.result()
        return tasks[0] not in done

    async def _join(self) -> None:
        await workspace.recover(self._settings.workspace)
        undelivered = await self._deliver_former_at_once()
        await self._membership.register()
        for attempt_id, spooled in undelivered.items():
            self._spawn(self._deliver_late(attempt_id, spooled))

    async def _deliver_former_at_once(self) -> dict[UUID, Spool]:
        """Send what former starts could not, while the former token still counts: then it is not late.

        Returns the results that could not be delivered; what has no result is the server's to give out anew.
        """
        self._client.token = self._state.token or ""
        undelivered: dict[UUID, Spool] = {}
        for attempt_id in spool.waiting(self._spools):
            spooled = await asyncio.to_thread(Spool, self._spools / str(attempt_id))
            delivered = await Delivery(self._client, attempt_id, spooled).try_once()
            if delivered or spooled.finish is None:
                await asyncio.to_thread(spooled.discard)
            else:
                undelivered[attempt_id] = spooled
        return undelivered

    async def _deliver_late(self, attempt_id: UUID, spooled: Spool) -> None:
        await Delivery(self._client, attempt_id, spooled).run()
        await asyncio.to_thread(spooled.discard)

    async def _claim_for_ever(self) -> None:
        wait_s = self._membership.terms.claim_wait_s
        while True:
            room = await self._room()
            claim = Claim(uuid4(), self._state.boot_id, min(room, 100))
            asked_at = time.monotonic()
            try:
                patience_s = wait_s + self._membership.terms.start_within_s
                offers = await self._client.claim(claim, wait_s=wait_s, patience_s=patience_s)
            except StaleBoot:
                raise
            except NotTaking as refusal:
                self._membership.pause(refusal.code)
                continue
            except Unreachable:
                continue
            except Refused as refusal:
                log.warning("claim_refused", reason=str(refusal))
                await asyncio.sleep(jitter.between(5, 15))
                continue
            for offer in offers:
                self._take(offer)
            if not offers and time.monotonic() - asked_at < _SHORT_POLL_S:
                await asyncio.sleep(jitter.between(_SHORT_POLL_S / 2, _SHORT_POLL_S))

    async def _room(self) -> int:
        """The number of free slots, as soon as there is one, the node is active and its disk has room."""
        while True:
            await self._membership.may_claim.wait()
            self._slot_freed.clear()
            if self._free_slots() == 0:
                await self._slot_freed.wait()
            elif self._membership.disk_free_bytes() < self._settings.disk_free_min_bytes:
                log.warning("disk_full", free_bytes=self._membership.disk_free_bytes())
                await asyncio.sleep(_LOOK_AT_DISK_EVERY_S)
            else:
                return self._free_slots()

    def _take(self, offer: Offer) -> None:
        if offer.attempt_id not in self._held:
            self._held[offer.attempt_id] = _Held("offered")
            self._working += 1
            self._spawn(self._carry(offer, self._held[offer.attempt_id]))

    async def _carry(self, offer: Offer, held: _Held) -> None:
        """Take one offer through to its end, which is when the server knows its result."""
        try:
            try:
                spooled = await self._begin(offer)
                if spooled is None:
                    return
                held.attempt, held.state = Attempt(offer, spooled, self._grounds), "running"
                delivery = Delivery(self._client, offer.attempt_id, spooled, held.attempt.act)
                delivering = asyncio.create_task(delivery.run())
                await held.attempt.run()
            finally:
                self._working -= 1
                self._slot_freed.set()
            held.state = "finishing"
            await self._conclude(offer.attempt_id, held.attempt.stopped, spooled, delivery, delivering)
        finally:
            del self._held[offer.attempt_id]

    async def _begin(self, offer: Offer) -> Spool | None:
        try:
            await self._client.start(offer.attempt_id, patience_s=offer.start_within_s)
            return await asyncio.to_thread(Spool, self._spools / str(offer.attempt_id))
        except (Refused, Unreachable) as problem:
            log.info("offer_lapsed", attempt_id=str(offer.attempt_id), reason=str(problem))
        except OSError as problem:
            log.warning("no_room_for_spool", reason=str(problem))
            await self._release(offer.attempt_id, f"The node cannot store its log: {problem}")
        return None

    async def _conclude(
        self,
        attempt_id: UUID,
        stopped: Stop | None,
        spooled: Spool,
        delivery: Delivery,
        delivering: asyncio.Task[None],
    ) -> None:
        try:
            if spooled.finish is not None:
                await delivering
        finally:
            await _cancelled(delivering)
        if spooled.finish is None and stopped is Stop.RELEASE:
            with contextlib.suppress(Refused, Unreachable):
                await delivery.flush(patience_s=_LAST_WORDS_WITHIN_S)
            await self._release(attempt_id, "The node stops.")
        await asyncio.to_thread(spooled.discard)

    async def _release(self, attempt_id: UUID, reason: str) -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS_WITHIN_S):
                await self._client.release(attempt_id, reason, patience_s=_LAST_WORDS_WITHIN_S)
        except (Refused, Unreachable, TimeoutError) as problem:
            log.warning("not_released", attempt_id=str(attempt_id), reason=str(problem))

    async def _until_idle(self, within: timedelta) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while self._working:
                    self._slot_freed.clear()
                    await self._slot_freed.wait()

    async def _release_all(self) -> None:
        await self._stop_all(Stop.RELEASE)
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=2 * _LAST_WORDS_WITHIN_S)

    async def _stop_all(self, why: Stop) -> None:
        for held in self._held.values():
            if held.attempt is not None:
                held.attempt.stop(why)
        while self._working:
            self._slot_freed.clear()
            await self._slot_freed.wait()

    async def _say_goodbye(self) -> None:
        """Unless results wait on disk: with its present token the next start can still deliver them in time."""
        if not spool.waiting(self._spools):
            with contextlib.suppress(Refused, Unreachable, TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_WITHIN_S):
                    await self._client.deregister(patience_s=_LAST_WORDS_WITHIN_S)
        log.info("stopped")

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.to_thread(
                workspace.sweep,
                self._settings.workspace,
                older_than=self._settings.keep_workspaces,
                live=set(self._held),
            )
            await asyncio.sleep(_SWEEP_EVERY_S)

    def _spawn(self, act: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(act)
        self._deliveries.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        # A stale boot ends the agent through its heartbeat; the spool waits for the next start.
        if not task.cancelled() and (problem := task.exception()) is not None and not isinstance(problem, StaleBoot):
            log.warning("attempt_broke", exc_info=problem)

    def _free_slots(self) -> int:
        return max(self._settings.slots - self._working, 0)

    def _naming(self) -> list[HeldAttempt]:
        return [HeldAttempt(attempt_id, held.state) for attempt_id, held in self._held.items()]

    def _obey(self, attempt_id: UUID, action: Action) -> None:
        held = self._held.get(attempt_id)
        if held is not None and held.attempt is not None:
            held.attempt.act(action)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
