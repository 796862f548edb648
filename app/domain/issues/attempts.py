"""What a live attempt may ask for and report, besides its log and its end."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.fleet import Credential
from app.db.models.work import Attempt, AttemptUsage
from app.deps import CallingNode
from app.domain.audit import recording
from app.domain.issues import lifecycle
from app.errors import Conflict, NotFound
from app.protocol import Action, AttemptStatus, ModelUsage, Secret
from app.vault import Sealed, Vault, credential_binding

_LIVE = (AttemptStatus.OFFERED, AttemptStatus.RUNNING)


async def deliver_secret(
    session: AsyncSession, vault: Vault, node: CallingNode, attempt_id: UUID, address: str
) -> Secret:
    """The secret that a live attempt needs, audited in the same transaction, so never without a trace.

    Raises 404 when the offer had none, 409 when the attempt is over or the credential was disabled meanwhile.
    """
    live = select(Attempt.credential_id).where(
        Attempt.id == attempt_id, Attempt.node_id == node.id, Attempt.status.in_(_LIVE)
    )
    row = (await session.execute(live.with_for_update(read=True))).one_or_none()
    if row is None:
        raise await lifecycle.refusal(session, node.id, attempt_id)
    credential = await session.get(Credential, row[0]) if row[0] is not None else None
    if credential is None:
        raise NotFound("The offer has no credential.")
    if credential.is_disabled:
        raise Conflict("The credential was disabled; finish with failure_code auth.", code="credential_disabled")
    await recording.record(
        session, node, "secret.deliver", "credential", credential.id, address=address, attempt_id=attempt_id
    )
    await session.execute(
        update(Credential).where(Credential.id == credential.id).values(last_used_at=func.clock_timestamp())
    )
    secret = vault.open(Sealed(credential.secret, credential.secret_key_id), credential_binding(credential.id))
    return Secret(credential.category, secret)


async def report_usage(session: AsyncSession, node_id: UUID, attempt_id: UUID, usage: Sequence[ModelUsage]) -> Action:
    """Replaces what the attempt reported before. Raises what `lifecycle.refusal` finds."""
    mine = select(Attempt.cancel_requested_at).where(Attempt.id == attempt_id, Attempt.node_id == node_id)
    row = (await session.execute(mine.with_for_update(key_share=True))).one_or_none()
    if row is None or not await lifecycle.is_open(session, attempt_id):
        raise await lifecycle.refusal(session, node_id, attempt_id)
    await session.execute(delete(AttemptUsage).where(AttemptUsage.attempt_id == attempt_id))
    # The same model twice in one report: its last totals count.
    latest = {(each.provider, each.model): each for each in usage}
    if latest:
        await session.execute(insert(AttemptUsage), [_row(attempt_id, each) for each in latest.values()])
    return Action.CONTINUE if row[0] is None else Action.CANCEL


def _row(attempt_id: UUID, usage: ModelUsage) -> dict[str, object]:
    return {
        "attempt_id": attempt_id,
        "provider": usage.provider,
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cost_usd": usage.cost_usd,
    }
