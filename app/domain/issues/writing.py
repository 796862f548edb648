"""Issues as people write them. Their status is none of this file's business: see `lifecycle.py`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import (
    JSON,
    BindParameter,
    ColumnElement,
    Integer,
    Interval,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    false,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.db import spending
from app.db.crud import get_or_404, given, lock_or_404, shaped, visible_to
from app.db.doorbell import ring
from app.db.engine import one_by_one
from app.db.models.work import Issue
from app.deps import Viewer
from app.domain.audit.recording import Event, recording
from app.domain.issues import references
from app.domain.issues.notices import issue_changed
from app.domain.issues.schemas import IssueChange, IssueOut, NewIssue
from app.errors import InvalidInput
from app.protocol import IssueStatus
from app.settings import Settings

T = TypeVar("T")
Value = ColumnElement[T] | InstrumentedAttribute[T]


def _rank(priority: Value[int], created_at: Value[datetime], ageing_s: BindParameter[float]) -> ColumnElement[float]:
    """Larger is claimed first: an issue overtakes one whose priority is larger by one after the ageing time."""
    return cast(priority, Issue.rank.type) * ageing_s - cast(func.extract("epoch", created_at), Issue.rank.type)


def _storing() -> Select[Any]:
    """One statement for any number of issues and the audit's event, so that it is compiled and planned once."""
    issue = Issue.metadata.tables[Issue.__tablename__]
    names = NewIssue.__struct_fields__
    bodies = (
        func.json_to_recordset(cast(bindparam("bodies", type_=Text()), JSON()))
        .table_valued(column("place", Integer()), *(column(name, issue.c[name].type) for name in names))
        .render_derived("body", with_types=True)
    )
    # Issues created together are a microsecond apart, so that they keep their order everywhere.
    created_at = func.now() + bodies.c.place * literal(timedelta(microseconds=1), Interval())
    derived = {
        "id": func.gen_random_uuid(),
        "owner_id": bindparam("owner_id", type_=Uuid()),
        "created_at": created_at,
        "updated_at": created_at,
        "rank": _rank(bodies.c.priority, created_at, bindparam("ageing_s", type_=Issue.rank.type)),
        "deferred": func.coalesce(bodies.c.not_before > created_at, false()),
    }
    stored = (
        insert(issue)
        .from_select([*names, *derived], select(*(bodies.c[name] for name in names), *derived.values()))
        .returning(*(issue.c[name] for name in IssueOut.__struct_fields__))
        .cte("stored")
    )
    first = select(stored.c.id).order_by(stored.c.created_at).limit(1)
    return select(stored).order_by(stored.c.created_at).add_cte(recording(first.scalar_subquery()).cte("recorded"))


_STORE = _storing()


async def create(
    session: AsyncSession, viewer: Viewer, settings: Settings, bodies: Sequence[NewIssue], event: Event, path: str = ""
) -> list[IssueOut]:
    """All of them or none, in the order given, which is their order in the queue too.

    The one statement that stores them, and `event` with the first of them, is its own transaction. `path` is where
    the issues stand in the body, with {} for the index. Raises `InvalidInput` and `NotFound`.
    """
    fields = [given(body) for body in bodies]
    for index, each in enumerate(fields):
        references.require_clonable(each, settings, path.format(index))
        each["place"] = index
    connection = await one_by_one(session)
    await references.require_visible(session, viewer, fields)
    values = {
        "bodies": msgspec.json.encode(fields).decode(),
        "owner_id": viewer.id,
        "ageing_s": settings.priority_ageing.total_seconds(),
    }
    stored = await connection.execute(_STORE, {**values, **event})
    created = [shaped(row, IssueOut) for row in stored]
    for issue in created:
        issue_changed(session, issue.id)
    ring(session)
    return created


async def lock(session: AsyncSession, viewer: Viewer, issue_id: UUID, *, with_attempts: bool) -> Issue:
    """Attempts are locked before their issue, as by whoever stores their log entries, which refer to both.

    Raises `NotFound`.
    """
    if with_attempts:
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        await spending.hold(session, issue_id)
    return await lock_or_404(session, Issue, issue_id, visible_to(viewer, Issue))


async def change(session: AsyncSession, viewer: Viewer, settings: Settings, issue_id: UUID, body: IssueChange) -> Issue:
    """Raises `InvalidInput` for a maximum that the attempts made leave no room under."""
    fields: dict[str, Any] = given(body)
    issue = await lock(session, viewer, issue_id, with_attempts="project_id" in fields)
    after = {name: fields.get(name, getattr(issue, name)) for name in ("repository_url", "repository_id")}
    if after["repository_url"] is not None and fields.keys() & after.keys():
        references.require_clonable(after, settings)
    await references.require_visible(session, viewer, [fields])
    # An issue that waits needs room for one more: the claim that counts it would fail, and with it all its neighbours.
    fewest = issue.attempt_count + (issue.status == IssueStatus.PENDING)
    if fields.get("max_attempts", issue.max_attempts) < fewest:
        raise InvalidInput(
            f"{issue.attempt_count} attempts were made already; allow {fewest} at least.", field="max_attempts"
        )
    if "priority" in fields:
        ageing_s = literal(settings.priority_ageing.total_seconds(), Issue.rank.type)
        fields["rank"] = _rank(literal(fields["priority"], Issue.priority.type), Issue.created_at, ageing_s)
    if "not_before" in fields:
        is_ahead = literal(fields["not_before"], Issue.not_before.type) > func.now()
        fields["deferred"] = and_(Issue.status == IssueStatus.PENDING, func.coalesce(is_ahead, False))
    if fields.get("project_id", issue.project_id) != issue.project_id:
        await spending.move(session, issue_id, issue.project_id, fields["project_id"])
    if fields:
        await session.execute(update(Issue).where(Issue.id == issue_id).values(**fields))
        await session.refresh(issue)
        issue_changed(session, issue_id)
        ring(session)
    return issue
