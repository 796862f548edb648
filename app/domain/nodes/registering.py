"""A machine says who it is, and gets the token that it works with."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.base import new_id
from app.db.models.accounts import User
from app.db.models.fleet import Node
from app.domain.issues import claim, lifecycle, offers
from app.domain.nodes.notices import node_changed
from app.errors import Conflict
from app.protocol import NodeStatus, Register
from app.tokens import Prefix, digest, mint

_ADVISORY_CLASS = 7_002


async def register(session: AsyncSession, machine: Register) -> tuple[UUID, str, bool]:
    """The node's id, its new token, and whether the node is new. The former token stops working.

    A new `boot_id` sends the node's unfinished attempts back to the queue. Raises 409 `name_in_use`, and
    `no_superuser` when nobody could own the node.
    """
    await session.execute(select(func.pg_advisory_xact_lock(_ADVISORY_CLASS, func.hashtext(machine.machine_id))))
    await _let_claims_end(session, machine)
    token = mint(Prefix.NODE)
    node = await _known(session, machine)
    is_new = node is None
    if node is None:
        node = Node(id=new_id(), machine_id=machine.machine_id, owner_id=await _first_superuser(session))
        session.add(node)
    elif node.boot_id is not None and node.boot_id != machine.boot_id:
        await lifecycle.lose_attempts_of(session, node.id, "The node started anew.")
    _describe(node, machine, token)
    try:
        await session.flush()
    except IntegrityError as problem:
        raise Conflict(
            f"Another machine has the name {machine.name!r}; choose another, or delete that node.", code="name_in_use"
        ) from problem
    await session.execute(
        update(Node).where(Node.id == node.id).values(last_heartbeat=func.clock_timestamp(), status=NodeStatus.ONLINE)
    )
    node_changed(session, node.id)
    return node.id, token, is_new


async def deregister(session: AsyncSession, node_id: UUID) -> None:
    """Gives back everything that the node holds; the row stays, offline. May be repeated."""
    await lifecycle.lose_attempts_of(session, node_id, "The node was deregistered.")
    await session.execute(update(Node).where(Node.id == node_id).values(status=NodeStatus.OFFLINE, last_heartbeat=None))
    node_changed(session, node_id)


def heartbeat_interval(configured: timedelta, nodes_online: int) -> timedelta:
    """Stretched when the fleet is so large that more than 4 000 heartbeats a second would come."""
    return max(configured, timedelta(seconds=round(nodes_online / 4000, 1)))


async def _let_claims_end(session: AsyncSession, machine: Register) -> None:
    """Waits for claims under the token that is replaced, and holds new ones off: they counted the node's slots, and
    what they take must be there to be lost. Before the node is locked, since they come to lock it too.
    """
    former = await session.scalar(select(Node.token_hash).where(Node.machine_id == machine.machine_id))
    if former is not None:
        await session.execute(select(func.pg_advisory_xact_lock(offers.ADVISORY_CLASS, claim.lock_key(former))))


async def _known(session: AsyncSession, machine: Register) -> Node | None:
    """The machine's own row, or one of an older installation that has its name and never had a machine."""
    node = await session.scalar(select(Node).where(Node.machine_id == machine.machine_id).with_for_update())
    if node is not None:
        return node
    node = await session.scalar(
        select(Node)
        .where(Node.name == machine.name, Node.machine_id.is_(None))
        .order_by(Node.last_heartbeat.desc().nulls_last(), Node.created_at, Node.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if node is not None:
        node.machine_id = machine.machine_id
    return node


async def _first_superuser(session: AsyncSession) -> UUID:
    owner = await session.scalar(
        select(User.id).where(User.is_superuser).order_by(User.is_active.desc(), User.created_at, User.id).limit(1)
    )
    if owner is None:
        raise Conflict("There is no superuser yet to own nodes; run `nodeyard create-admin`.", code="no_superuser")
    return owner


def _describe(node: Node, machine: Register, token: str) -> None:
    node.name = machine.name
    node.boot_id = machine.boot_id
    node.token_hash = digest(token)
    node.version = machine.version
    node.max_slots = machine.max_slots
    node.tags = sorted(set(machine.tags))
    node.tools = [{"category": tool.category, "version": tool.version} for tool in machine.tools]
    node.tool_categories = sorted({tool.category for tool in machine.tools})
    node.ip = machine.ip
    if machine.description is not None:
        node.description = machine.description
