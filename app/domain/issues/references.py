"""What an issue refers to: rows that its author may see, and places that may be cloned from."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import visible_to
from app.db.models.catalogue import Project, Prompt, Repository
from app.deps import Viewer
from app.domain.repositories.urls import require_allowed
from app.errors import InvalidInput, NotFound
from app.settings import Settings

_MODELS: dict[str, type[Project | Prompt | Repository]] = {
    "repository_id": Repository,
    "project_id": Project,
    "prompt_id": Prompt,
}


async def require_visible(session: AsyncSession, viewer: Viewer, issues: Iterable[Mapping[str, Any]]) -> None:
    """Raises `NotFound` for a row that does not exist or is another person's.

    One that is deleted after the look is refused by its foreign key.
    """
    issues = list(issues)
    for field, model in _MODELS.items():
        wanted: set[UUID] = {issue[field] for issue in issues if issue.get(field) is not None}
        if not wanted:
            continue
        statement = select(model.id).where(model.id.in_(wanted), visible_to(viewer, model))
        known = set((await session.scalars(statement)).all())
        if missing := wanted - known:
            raise NotFound(f"{field}: there is no {field.removesuffix('_id')} {min(missing)}, or it is not yours.")


def require_clonable(issue: Mapping[str, Any], settings: Settings, field: str = "") -> None:
    """`issue` has what is stored after the change. `field` is the path to it within the body."""
    url = issue.get("repository_url")
    if url is None:
        return
    if issue.get("repository_id") is not None:
        raise InvalidInput("Give repository_url or repository_id, not both.", field=f"{field}repository_url")
    require_allowed(url, settings, f"{field}repository_url")
