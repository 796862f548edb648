"""Nodes that go for good. The work that they hold goes back to the queue first: its issues may be other people's."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import lock_or_404
from app.db.models.fleet import Credential, Node
from app.db.models.work import Attempt, Issue
from app.domain.accounts import users
from app.domain.credentials import removal
from app.domain.issues import lifecycle
from app.domain.nodes.notices import node_deleted


async def delete_node(session: AsyncSession, node_id: UUID) -> Node:
    node = await lock_or_404(session, Node, node_id)
    await lifecycle.lose_attempts_of(session, node_id, "The node was deleted.")
    await session.delete(node)
    await session.flush()
    node_deleted(session, node_id, node.owner_id)
    return node


async def delete_user(session: AsyncSession, user_id: UUID) -> str:
    """Everything that is theirs goes too, nodes included. Returns the email.

    Raises what `users.delete` raises, and `Conflict` while work on other people's issues uses their credentials.
    """
    for node_id in await _hold_work_of(session, user_id):
        await delete_node(session, node_id)
    theirs = select(Credential.id).where(Credential.owner_id == user_id).order_by(Credential.id)
    credentials = (await session.scalars(theirs.with_for_update())).all()
    await removal.require_unused(
        session,
        "credentials of this account",
        Attempt.credential_id.in_(credentials),
        Attempt.issue_id.in_(select(Issue.id).where(Issue.owner_id != user_id)),
    )
    return await users.delete(session, user_id)


async def _hold_work_of(session: AsyncSession, user_id: UUID) -> Sequence[UUID]:
    """Locks nodes, attempts and issues, in the order of the writes that need several of them. Returns the nodes.

    Left to the cascades, issues came before their attempts, and a node that wrote into its log stood across.
    """
    nodes = select(Node.id).where(Node.owner_id == user_id).order_by(Node.id)
    node_ids = (await session.scalars(nodes.with_for_update(key_share=True))).all()
    issues = select(Issue.id).where(Issue.owner_id == user_id).order_by(Issue.id)
    concerned = or_(Attempt.node_id.in_(node_ids), Attempt.issue_id.in_(issues.order_by(None)))
    await session.execute(select(Attempt.id).where(concerned).order_by(Attempt.id).with_for_update(key_share=True))
    await session.execute(issues.with_for_update())
    return node_ids
