"""Carries one attempt's spool to the server, in order, until its result is acknowledged or refused."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from app.agent.client import Client, LogGap, Refused, StaleBoot, Superseded, Unreachable
from app.agent.spool import Spool
from app.protocol import Action, LogBatch, LogEntry

_BODY_REFUSED = (400, 413)

log = structlog.stdlib.get_logger(__name__)


class Delivery:
    def __init__(
        self, client: Client, attempt_id: UUID, spool: Spool, on_action: Callable[[Action], None] | None = None
    ) -> None:
        """`on_action` hears what the server wants done with the attempt; `ABANDON` when it is no longer the node's."""
        self._client = client
        self._attempt_id = attempt_id
        self._spool = spool
        self._hear = on_action
        self._log = log.bind(attempt_id=str(attempt_id))

    async def run(self) -> None:
        """Returns when there is nothing more to deliver, ever."""
        try:
            while not await self._delivered_all(patience_s=None):
                await self._spool.changed.wait()
        except Superseded as refusal:
            self._log.info("attempt_given_up", code=refusal.code)
            self._act(Action.ABANDON)
        except StaleBoot:
            raise
        except Refused as refusal:
            self._log.warning("delivery_refused", code=refusal.code, reason=str(refusal))
            self._act(Action.ABANDON)

    async def try_once(self) -> bool:
        """Deliver without waiting for a server that is away; False when there is still something to deliver."""
        try:
            if not await self._delivered_all(patience_s=0):
                return False
        except (Unreachable, StaleBoot):
            return False
        except Refused as refusal:
            if refusal.status == 401:
                return False
            self._log.info("attempt_given_up", code=refusal.code)
        return True

    async def flush(self, *, patience_s: float) -> None:
        """Send what there is of the log. Raises `Refused` and `Unreachable`."""
        await self._send_logs(patience_s)

    async def _delivered_all(self, *, patience_s: float | None) -> bool:
        self._spool.changed.clear()
        await self._send_logs(patience_s)
        await self._send_usage(patience_s)
        finish = self._spool.finish
        if finish is None or self._spool.acknowledged < finish.next_seq:
            return False
        try:
            answer = await self._client.finish(self._attempt_id, finish, patience_s=patience_s)
        except LogGap as gap:
            self._spool.acknowledge(gap.next_seq)
            return await self._delivered_all(patience_s=patience_s)
        self._log.info(
            "result_delivered", result=finish.result, issue_status=answer.issue_status, adopted=answer.adopted
        )
        return True

    async def _send_logs(self, patience_s: float | None) -> None:
        while (batch := await asyncio.to_thread(self._spool.pending)) is not None:
            try:
                answer = await self._client.logs(self._attempt_id, batch, patience_s=patience_s)
            except LogGap as gap:
                self._spool.acknowledge(gap.next_seq)
                continue
            except Refused as refusal:
                if refusal.status not in _BODY_REFUSED:
                    raise
                # A result must not be lost for a log entry that the server would refuse for ever.
                self._log.warning("log_entries_refused", reason=str(refusal), first_seq=batch.first_seq)
                blank = LogBatch(batch.first_seq, [_blank(entry) for entry in batch.entries])
                answer = await self._client.logs(self._attempt_id, blank, patience_s=patience_s)
            self._spool.acknowledge(answer.next_seq)
            self._act(answer.action)

    def _act(self, action: Action) -> None:
        if self._hear is not None:
            self._hear(action)

    async def _send_usage(self, patience_s: float | None) -> None:
        usage = self._spool.usage
        if usage is None or self._spool.usage_sent:
            return
        answer = await self._client.usage(self._attempt_id, usage, patience_s=patience_s)
        if self._spool.usage is usage:
            self._spool.usage_sent = True
        self._act(answer.action)


def _blank(entry: LogEntry) -> LogEntry:
    return LogEntry(entry.step_name, entry.status, output="[refused by the server]", duration_ms=entry.duration_ms)
