"""What the work cost: summed over one issue's attempts, or read from the counters that outlive the issues."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.derived import UsageTally
from app.db.models.work import Attempt, AttemptUsage, Issue
from app.schemas import UsageTotals

_NAMES = UsageTotals.__struct_fields__


async def tallied(session: AsyncSession, where: ColumnElement[bool]) -> UsageTotals:
    """`where` chooses among the rows of `UsageTally`."""
    return await _totals(session, select(*_sums(UsageTally)).where(where))


async def of_issue(session: AsyncSession, issue_id: UUID) -> UsageTotals:
    statement = select(*_sums(AttemptUsage.__table__)).join(Attempt).where(Attempt.issue_id == issue_id)
    return await _totals(session, statement)


async def hold(session: AsyncSession, issue_id: UUID) -> None:
    """No attempt of the issue reports meanwhile. Attempts are locked before their issue: call it before that."""
    held = select(Attempt.id).where(Attempt.issue_id == issue_id).order_by(Attempt.id)
    await session.execute(held.with_for_update(key_share=True))


async def move(session: AsyncSession, issue_id: UUID, old: UUID | None, new: UUID | None) -> None:
    """What was spent on an issue goes with it from one project to another."""
    spent = AttemptUsage.__table__.c
    for project_id, sign in ((old, -1), (new, 1)):
        moved = (
            select(
                Issue.owner_id,
                literal(project_id, UsageTally.c.project_id.type),
                Attempt.credential_id,
                *(sign * func.sum(spent[name]) for name in _NAMES),
            )
            .select_from(AttemptUsage)
            .join(Attempt)
            .join(Issue, Issue.id == Attempt.issue_id)
            .where(Issue.id == issue_id)
            .group_by(Issue.owner_id, Attempt.credential_id)
        )
        columns = ["owner_id", "project_id", "credential_id", *_NAMES]
        await session.execute(UsageTally.insert().from_select(columns, moved))


def _sums(table: FromClause) -> list[ColumnElement[Any]]:
    return [func.coalesce(func.sum(table.c[name]), 0) for name in _NAMES]


async def _totals(session: AsyncSession, sums: Select[Any]) -> UsageTotals:
    *tokens, cost = (await session.execute(sums)).one()
    return UsageTotals(*(int(value) for value in tokens), cost_usd=float(cost))
