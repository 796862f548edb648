"""Nodes that speak PROTOCOL as a real agent does, and worse: they pause past the lease, start anew, send twice."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
from chaos.history import MASK, History, Work

API = "/api/v1"
_ANSWER_WITHIN_S = 8.0
_STALE = {"attempt_superseded", "attempt_cancelled", "attempt_finished"}


@dataclass
class World:
    """What all agents share. `calm`: the faults have stopped, and everybody does honest work."""

    url: str
    key: str
    http: aiohttp.ClientSession
    history: History = field(default_factory=History)
    calm: bool = False


class Answer(NamedTuple):
    status: int
    document: dict[str, Any]
    sent_at: float
    """When the try that was answered was sent, on the history's clock."""


class Agent:
    def __init__(self, world: World, number: int, dice: random.Random) -> None:
        self.world, self.dice = world, dice
        self.name = f"agent-{number}"
        self.slots = dice.randint(1, 3)
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.node_id = ""
        self._token = ""
        self._boot = ""
        self._registering = asyncio.Lock()
        self._held: dict[str, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ghosts: set[asyncio.Task[None]] = set()

    # How it lives.

    def start(self) -> None:
        self._boot = uuid4().hex
        self._token = ""
        for part in (self._beat, self._claim):
            self._spawn(self._for_ever(part))

    async def stop(self) -> None:
        for task in [*self._tasks, *self._ghosts]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._ghosts, return_exceptions=True)

    async def restart(self, *, resume: bool) -> None:
        """As after kill -9: a new boot, and `resume` says whether it goes on with the work in its journal."""
        await self.stop()
        self._tasks.clear()
        held, self._held = list(self._held.values()), {}
        self.start()
        for work in held if resume else ():
            self._take_up(work)

    def _spawn(self, part: Any) -> None:
        task = asyncio.create_task(part)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _for_ever(self, part: Any) -> None:
        while True:
            try:
                await part()
            except (aiohttp.ClientError, OSError) as problem:
                self.world.history.problem(f"{self.name}: {problem!r}")
            await asyncio.sleep(0.05)

    # How it speaks.

    async def _send(self, method: str, path: str, body: Any, token: str, *, twice: bool = True) -> Answer | None:
        """One try. None: nobody knows what became of it."""
        await self.may_send.wait()
        if twice and not self.world.calm and self.dice.random() < 0.05:
            self._haunt(method, path, body, token)
        return await self._once(method, path, body, token)

    async def _once(self, method: str, path: str, body: Any, token: str) -> Answer | None:
        history = self.world.history
        history.counts["requests"] += 1
        sent_at = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S)
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self.world.http.request(
                method, f"{self.world.url}{API}{path}", json=body, headers=headers, timeout=timeout
            ) as answer:
                document = await answer.json(content_type=None) if answer.status != 204 else {}
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            history.counts["unanswered"] += 1
            return None
        history.counts[f"status {answer.status}"] += 1
        if answer.status >= 500 and answer.status != 503:
            history.problem(f"{method} {path}: {answer.status} {document}")
        if answer.status == 503 and "Retry-After" not in answer.headers:
            history.problem(f"{method} {path}: 503 without Retry-After")
        if answer.status == 409 and document.get("code") in _STALE:
            history.counts["stale"] += 1
        return Answer(answer.status, document, sent_at)

    def _haunt(self, method: str, path: str, body: Any, token: str) -> None:
        """The same request again, at once or much later, so that it overtakes and is overtaken."""

        async def later() -> None:
            await asyncio.sleep(self.dice.choice((0, 0, 0.05, 1.5)))
            answer = await self._once(method, path, body, token)
            self.world.history.counts["sent twice"] += 1
            if answer is not None:
                self._note(path, answer)

        task = asyncio.create_task(later())
        self._ghosts.add(task)
        task.add_done_callback(self._ghosts.discard)

    def _note(self, path: str, answer: Answer) -> None:
        """A write that must have been accepted by this very try: the server never repeats these answers later."""
        what = path.rpartition("/")[2]
        if answer.status == 200 and what in {"start", "logs", "usage"}:
            self.world.history.accept(path.split("/")[2], what, answer.sent_at)

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Tries until there is an answer that is final."""
        while True:
            if not self._token:
                await self._register("")
            token = self._token
            answer = await self._send(method, path, body, token)
            if answer is not None and answer.status == 401:
                await self._register(token)
            elif answer is not None and answer.status not in {429, 503}:
                self._note(path, answer)
                return answer.status, answer.document
            await asyncio.sleep(self.dice.random() * 0.2)

    async def _register(self, stale: str) -> None:
        async with self._registering:
            while self._token == stale:
                body = {
                    "name": self.name, "machine_id": f"machine-{self.name}", "boot_id": self._boot, "version": "1",
                    "max_slots": self.slots, "tags": ["linux"], "tools": [{"category": "claude-code"}],
                }  # fmt: skip
                answer = await self._send("POST", "/nodes/register", body, self.world.key, twice=False)
                if answer is not None and answer.status in {200, 201}:
                    self._token, self.node_id = answer.document["node_token"], answer.document["node_id"]
                    return
                if answer is not None and answer.status not in {401, 429, 503}:
                    self.world.history.problem(f"{self.name} may not register: {answer}")
                await asyncio.sleep(self.dice.random() * 0.3)

    # What it does.

    async def _beat(self) -> None:
        held = [{"attempt_id": attempt_id, "state": "running"} for attempt_id in self._held]
        body = {"boot_id": self._boot, "free_slots": self.slots - len(held), "attempts": held}
        status, answer = await self._call("POST", "/nodes/heartbeat", body)
        if status == 200:
            for each in answer["attempts"]:
                work = self._held.get(each["attempt_id"])
                # Half of them are stubborn: they go on, and every write of theirs must be refused.
                if work is not None and each["action"] == "abandon" and self.dice.random() < 0.3:
                    self._held.pop(each["attempt_id"], None)
        elif status != 409:
            self.world.history.problem(f"heartbeat of {self.name}: {status} {answer}")
        await asyncio.sleep(0.4 + self.dice.random() * 0.2)

    async def _claim(self) -> None:
        free = self.slots - len(self._held)
        if free <= 0:
            await asyncio.sleep(0.1)
            return
        body = {"claim_id": str(uuid4()), "boot_id": self._boot, "max": free}
        status, answer = await self._call("POST", "/nodes/claim?wait=2", body)
        if status == 409:
            await asyncio.sleep(0.3)
        elif status == 200:
            if len(answer["attempts"]) > free:
                self.world.history.problem(f"{self.name} has {free} free slots and got {len(answer['attempts'])}")
            for offer in answer["attempts"]:
                self._take_up(self.world.history.given(offer, self.name))

    def _take_up(self, work: Work) -> None:
        if work.attempt_id not in self._held:
            self._held[work.attempt_id] = work
            self._spawn(self._work_on(work))

    async def _work_on(self, work: Work) -> None:
        try:
            await self._carry_out(work)
        finally:
            self._held.pop(work.attempt_id, None)

    async def _carry_out(self, work: Work) -> None:
        fate = 1.0 if self.world.calm else self.dice.random()
        if fate < 0.03:
            return  # Never started: the offer lapses.
        if not await self._write(work, "start", "POST"):
            return
        if work.has_credential and work.secret is None:
            status, answer = await self._call("GET", f"/attempts/{work.attempt_id}/credential")
            work.secret = answer["secret"] if status == 200 else None
        cancelled = False
        for _ in range(self.dice.randint(1, 3)):
            await asyncio.sleep(self.dice.random() * 0.4)
            answer = await self._log(work)
            if answer is None:
                return
            cancelled = cancelled or answer["action"] == "cancel"
        if fate < 0.08:
            work.released_at = time.monotonic()
            await self._write(work, "release", "POST", {"reason": "chaos"})
            return
        if fate > 0.9:
            usage = {"provider": "a", "model": "b", "input_tokens": 1}
            if not await self._write(work, "usage", "PUT", {"usage": [usage]}):
                return
        await self._finish(work, cancelled)

    async def _write(self, work: Work, what: str, method: str, body: Any = None) -> dict[str, Any] | None:
        """The answer, or None when the server refused it."""
        status, answer = await self._call(method, f"/attempts/{work.attempt_id}/{what}", body)
        if status == 200:
            return answer
        if status not in {404, 409} or (status == 409 and answer.get("code") == "log_gap"):
            self.world.history.problem(f"{what} of {work.attempt_id}: {status} {answer}")
        return None

    async def _log(self, work: Work) -> dict[str, Any] | None:
        first = len(work.entries)
        # Sometimes what the server has already is sent along once more.
        first -= self.dice.choice((0, 0, 0, min(first, 2)))
        for _ in range(self.dice.randint(1, 4)):
            what = self.dice.choice((str(self.dice.random()), MASK))
            work.entries.append(f"entry {len(work.entries)} of {work.attempt_id[-12:]}, {what}")
        told = [text.replace(MASK, work.secret or MASK) for text in work.entries[first:]]
        entries = [{"step_name": "ai_coding", "status": "running", "output": text} for text in told]
        answer = await self._write(work, "logs", "POST", {"first_seq": first, "entries": entries})
        if answer is not None:
            if answer["next_seq"] != len(work.entries):
                self.world.history.problem(f"{work.attempt_id}: {len(work.entries)} entries sent, answer {answer}")
            work.acknowledged_entries = len(work.entries)
        return answer

    async def _finish(self, work: Work, cancelled: bool) -> None:
        if work.report is None:
            work.report = self._report(work, cancelled)
            work.reported_at = time.monotonic()
        answer = await self._write(work, "finish", "POST", work.report)
        if answer is not None:
            if work.answer is not None and work.answer != answer:
                self.world.history.problem(f"finish of {work.attempt_id}: first {work.answer}, then {answer}")
            work.answer = answer
            self.world.history.counts["finished"] += 1

    def _report(self, work: Work, cancelled: bool) -> dict[str, Any]:
        report: dict[str, Any] = {"result": "succeeded", "next_seq": len(work.entries)}
        fate = 1.0 if self.world.calm else self.dice.random()
        if cancelled:
            report["result"] = "cancelled"
        elif fate < 0.1:
            report |= {"result": "failed", "failure_code": "quota", "retry_after_s": 0.3}
        elif fate < 0.13:
            report |= {"result": "failed", "failure_code": "tool_failed"}
        elif fate < 0.18:
            report |= {"result": "failed", "failure_code": "invalid_work"}
        elif fate < 0.75:
            report |= {"branch": work.branch}
        return report


async def pause(agent: Agent, seconds: float) -> None:
    """SIGSTOP, as the server sees it."""
    agent.may_send.clear()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(seconds)
    agent.may_send.set()
