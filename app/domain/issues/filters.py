"""Which issues a list is asked for."""

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from msgspec import Struct
from sqlalchemy import BigInteger, ColumnElement, Executable, Select, cast, exists, func, literal, or_, select, text

from app.db.crud import visible_to
from app.db.models.derived import IssueTally, IssueText
from app.db.models.work import Issue
from app.deps import Viewer
from app.protocol import IssueStatus
from app.schemas import FilterMoment, FilterText, moment

Statuses = Annotated[
    list[IssueStatus] | None, QueryParameter(max_items=20, description="May be repeated: any of them.")
]


# By index, unless a look at a thousand texts finds the words in many: then all of them are read sooner. LIKE takes half
# the time of strpos, which counts characters.
_COUNTED = text("""
WITH asked AS (
    SELECT issue_search_wanted(btrim(issue_search_content(:q, NULL))) AS grams,
        '%' || btrim(issue_search_content(:literally, NULL)) || '%' AS pattern
)
SELECT CASE
    WHEN (SELECT count(*) FILTER (WHERE content LIKE (SELECT pattern FROM asked))
          FROM (SELECT content FROM issue_text LIMIT 1000) AS sample) > 400
    THEN (SELECT count(*) FROM issue_text
          WHERE content LIKE (SELECT pattern FROM asked)
              AND (CAST(:owner_id AS uuid) IS NULL OR owner_id = :owner_id))
    ELSE (SELECT count(*) FROM issue_text
          WHERE issue_search_grams(content) @> (SELECT grams FROM asked) AND content LIKE (SELECT pattern FROM asked)
              AND (CAST(:owner_id AS uuid) IS NULL OR owner_id = :owner_id))
END
""")


class IssueFilters(Struct, frozen=True):
    status: list[IssueStatus] | None = None
    project_id: UUID | None = None
    repository_id: UUID | None = None
    prompt_id: UUID | None = None
    node_id: UUID | None = None
    owner_id: UUID | None = None
    tool: str | None = None
    tag: str | None = None
    issue_number: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    q: str | None = None

    @property
    def _named(self) -> set[str]:
        return {name for name in self.__struct_fields__ if getattr(self, name) is not None}

    def count(self, viewer: Viewer) -> Executable | None:
        """How many there are, where that can be told without reading the issues; otherwise None."""
        owner_id = self.owner_id if viewer.is_superuser else viewer.id
        if self.owner_id not in {None, owner_id}:
            return None
        if self._named <= {"status", "owner_id"}:
            return _tallied(self.status, owner_id)
        if self._named <= {"q", "owner_id"} and self.q is not None:
            return _counted(self.q, owner_id)
        return None

    def statement(self, viewer: Viewer, *, is_broad: bool = False) -> Select[Issue]:
        """`is_broad`: so many issues hold `q` that looking at the newest ones finds a page soonest."""
        statement = select(Issue).where(visible_to(viewer, Issue))
        for column, wanted in (
            (Issue.project_id, self.project_id),
            (Issue.repository_id, self.repository_id),
            (Issue.prompt_id, self.prompt_id),
            (Issue.assigned_node_id, self.node_id),
            (Issue.owner_id, self.owner_id),
            (Issue.tool, self.tool),
            (Issue.issue_number, self.issue_number),
        ):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if self.status:
            # Rendered into the statement: a bound parameter would hide partial indexes from a generic plan.
            states = [literal(status.value, literal_execute=True) for status in self.status]
            statement = statement.where(or_(*(Issue.status == status for status in states)))
        if self.tag is not None:
            statement = statement.where(Issue.requires.contains([self.tag]))
        if self.created_after is not None:
            statement = statement.where(Issue.created_at >= self.created_after)
        if self.created_before is not None:
            statement = statement.where(Issue.created_at < self.created_before)
        if self.q is not None:
            broad = exists().where(IssueText.issue_id == Issue.id, _holds(self.q))
            statement = statement.where(broad if is_broad else Issue.id.in_(_found(self.q)))
        return statement


def _tallied(statuses: list[IssueStatus] | None, owner_id: UUID | None) -> Select[int]:
    tally = IssueTally.c
    statement = select(cast(func.coalesce(func.sum(tally.n), 0), BigInteger)).where(tally.hour.is_(None))
    if owner_id is not None:
        statement = statement.where(tally.owner_id == owner_id)
    return statement.where(tally.what.in_(statuses)) if statuses else statement


def _folded(q: str) -> ColumnElement[str]:
    return func.btrim(func.issue_search_content(q, None))


def _holds(q: str) -> ColumnElement[bool]:
    """Whether title, or beginning of the description, hold the words as they stand, in any case."""
    # A subquery, so that folding is done once and not for every row.
    return func.strpos(IssueText.content, select(_folded(q)).scalar_subquery()) > 0


def _found(q: str) -> Select[UUID]:
    """Issues that hold the words. The runs of characters find candidates by index, the text decides."""
    grams = select(func.issue_search_wanted(_folded(q))).scalar_subquery()
    return select(IssueText.issue_id).where(func.issue_search_grams(IssueText.content).op("@>")(grams), _holds(q))


def _counted(q: str, owner_id: UUID | None) -> Executable:
    literally = re.sub(r"([\\%_])", r"\\\1", q)
    return _COUNTED.bindparams(q=q, literally=literally, owner_id=owner_id)


def provide_filters(
    *,
    status: Statuses = None,
    project_id: FromQuery[UUID | None] = None,
    repository_id: FromQuery[UUID | None] = None,
    prompt_id: FromQuery[UUID | None] = None,
    node_id: FromQuery[UUID | None] = None,
    owner_id: FromQuery[UUID | None] = None,
    tool: FilterText = None,
    tag: FilterText = None,
    issue_number: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1)] = None,
    created_after: FilterMoment = None,
    created_before: FilterMoment = None,
    q: FilterText = None,
) -> IssueFilters:
    return IssueFilters(
        status=status,
        project_id=project_id,
        repository_id=repository_id,
        prompt_id=prompt_id,
        node_id=node_id,
        owner_id=owner_id,
        tool=tool,
        tag=tag,
        issue_number=issue_number,
        created_after=moment(created_after, "created_after"),
        created_before=moment(created_before, "created_before"),
        q=q,
    )


CurrentFilters = NamedDependency[IssueFilters]
