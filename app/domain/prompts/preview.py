"""What a prompt would say about one issue, before it is saved or claimed."""

from typing import Any
from uuid import UUID

from sqlalchemy import inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import get_or_404, visible_to
from app.db.models.catalogue import Project, Repository
from app.db.models.work import Attempt, Issue
from app.deps import Viewer
from app.domain.prompts.rendering import SAMPLE, check, render

_EARLIER = (Attempt.number, Attempt.status, Attempt.failure_code, Attempt.error_message, Attempt.summary)


async def preview(session: AsyncSession, viewer: Viewer, content: str, issue_id: UUID | None) -> str:
    """Rendered as the next attempt would get it, or for the sample issue. Raises `InvalidInput`, `NotFound`."""
    check(content)
    if issue_id is None:
        return render(content, **SAMPLE)
    issue = await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
    earlier = await session.execute(select(*_EARLIER).where(Attempt.issue_id == issue_id).order_by(Attempt.number))
    number = issue.last_number + 1
    return render(
        content,
        issue=_fields(issue, SAMPLE["issue"]),
        repository=await _referred(session, Repository, issue.repository_id, SAMPLE["repository"]),
        project=await _referred(session, Project, issue.project_id, SAMPLE["project"]),
        attempt={
            "id": "",
            "number": number,
            "branch": f"nodeyard/{issue.issue_number or issue_id.hex[:8]}-a{number}",
        },
        earlier=[dict(row) for row in earlier.mappings()],
    )


async def _referred(
    session: AsyncSession, model: type[Project | Repository], identity: UUID | None, names: dict[str, Any]
) -> dict[str, Any] | None:
    row = None if identity is None else await session.get(model, identity)
    return None if row is None else _fields(row, names)


def _fields(row: Issue | Project | Repository, names: dict[str, Any]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names if name in inspect(row).attrs}
    return {name: str(value) if isinstance(value, UUID) else value for name, value in values.items()}
