"""The node's standing with the server: its registration, its heartbeat, and whether it may take new work."""

import asyncio
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from app.agent import jitter, tools
from app.agent.client import Client, Refused, StaleBoot, Unauthorized, Unreachable
from app.agent.settings import AgentSettings
from app.agent.state import State
from app.protocol import Action, Desired, Heartbeat, HeartbeatAnswer, HeldAttempt, Register, Registered, Tool

log = structlog.stdlib.get_logger(__name__)

_RENEW_SPREAD_S = 2.0
_RENEWALS_MAX = 2
_RENEWALS_WITHIN_S = 300.0
_REFUSED_PAUSE_S = 30.0


class NotAdmitted(Exception):
    """The server refuses this node; the message says why."""


class Membership:
    def __init__(self, client: Client, settings: AgentSettings, state: State) -> None:
        self.may_claim = asyncio.Event()
        self._client = client
        self._settings = settings
        self._state = state
        self._renewing = asyncio.Lock()
        self._renewed_at: list[float] = []
        self._tools: list[Tool] = []
        self._terms: Registered | None = None
        self._interval_s = 15.0
        self._reachable = True

    @property
    def terms(self) -> Registered:
        if self._terms is None:
            raise RuntimeError("The terms are known once the node has registered.")
        return self._terms

    async def register(self) -> None:
        """Wait for the server as long as it takes. Raises `NotAdmitted`."""
        self._tools = list(await asyncio.gather(*map(tools.on_wire, self._settings.tools)))
        try:
            await self._enter()
        except Unauthorized as refusal:
            raise NotAdmitted("The server does not accept the registration key.") from refusal
        except Refused as refusal:
            raise NotAdmitted(f"The server refuses this node: {refusal}") from refusal
        self._client.renew = self.renew
        self.may_claim.set()

    async def renew(self, used_token: str) -> None:
        """Get a new token for one that the server no longer knows. Goes on until it succeeds.

        Raises `StaleBoot` when it is needed again and again: then another process registers with our machine_id, and
        of the two the one that was there first gives way, because it was the first to be displaced.
        """
        async with self._renewing:
            if self._client.token != used_token:
                return
            now = time.monotonic()
            self._renewed_at = [at for at in self._renewed_at if now - at < _RENEWALS_WITHIN_S]
            if len(self._renewed_at) >= _RENEWALS_MAX:
                raise StaleBoot(401, "unauthorized", "Another process registers with this node's machine_id.")
            # A whole fleet may have lost its tokens in the same moment.
            await asyncio.sleep(jitter.between(0, _RENEW_SPREAD_S))
            while True:
                try:
                    await self._enter()
                except Refused as refusal:
                    log.warning("registration_refused", reason=str(refusal))
                    await asyncio.sleep(jitter.between(_REFUSED_PAUSE_S / 2, _REFUSED_PAUSE_S))
                else:
                    self._renewed_at.append(time.monotonic())
                    return

    async def beat(
        self,
        free_slots: Callable[[], int],
        held: Callable[[], Sequence[HeldAttempt]],
        on_action: Callable[[UUID, Action], None],
    ) -> None:
        """Beat for ever. Raises `StaleBoot` when another process took the node's place."""
        await asyncio.sleep(jitter.between(0, self._interval_s))
        while True:
            body = Heartbeat(self._state.boot_id, free_slots(), list(held()), self.disk_free_bytes())
            try:
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the answer.
                async with asyncio.timeout(self._interval_s):
                    answer = await self._client.heartbeat(body)
            except StaleBoot:
                raise
            except (Refused, Unreachable, TimeoutError) as problem:
                self._note_reachable(reachable=False, reason=str(problem) or "no answer in time")
            else:
                self._note_reachable(reachable=True)
                self._obey(answer, on_action)
            await asyncio.sleep(self._interval_s * jitter.between(0.9, 1.0))

    def pause(self, why: str) -> None:
        """Ask for no work until a heartbeat says that the node is active."""
        if self.may_claim.is_set():
            log.info("claiming_stopped", why=why)
            self.may_claim.clear()

    def disk_free_bytes(self) -> int:
        return shutil.disk_usage(self._settings.workspace).free

    async def _enter(self) -> None:
        body = await self._introduction()
        terms = await self._client.register(self._settings.registration_key, body)
        self._client.token = terms.node_token
        self._terms, self._interval_s = terms, terms.heartbeat_interval_s
        try:
            self._state.keep_token(terms.node_token)
        except OSError as problem:
            log.warning("token_not_kept", reason=str(problem))
        log.info("registered", node_id=str(terms.node_id), name=body.name, tools=[tool.category for tool in body.tools])

    async def _introduction(self) -> Register:
        return Register(
            name=self._settings.name,
            machine_id=self._state.machine_id,
            boot_id=self._state.boot_id,
            version=version("nodeyard"),
            max_slots=self._settings.slots,
            tags=list(self._settings.tags),
            tools=self._tools,
            ip=await _own_address(self._settings.server_url),
        )

    def _obey(self, answer: HeartbeatAnswer, on_action: Callable[[UUID, Action], None]) -> None:
        self._interval_s = max(answer.heartbeat_interval_s, 0.1)
        if answer.desired is Desired.ACTIVE:
            self.may_claim.set()
        else:
            self.pause(answer.desired)
        for order in answer.attempts:
            on_action(order.attempt_id, order.action)

    def _note_reachable(self, *, reachable: bool, reason: str = "") -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            if reachable:
                log.info("server_back")
            else:
                log.warning("server_away", reason=reason)


async def _own_address(server_url: str) -> str | None:
    """The address from which this machine reaches the server."""
    parts = urlsplit(server_url)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_DGRAM)
        family, kind, protocol, _name, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            # Connecting a datagram socket sends nothing; it only chooses the route.
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return None
