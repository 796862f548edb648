"""What triggers keep beside the rows that people and nodes write, so that counting and searching stay fast.

Counters are append-only differences: a counter row that everybody updates would make claims wait for each other.
A loop adds them up now and then (`app.domain.dashboard.tallies`), so that there are never many.
"""

from uuid import UUID

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Numeric,
    Table,
    Text,
    Uuid,
    event,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base

_COUNTERS = {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 2000}

IssueTally = Table(
    "issue_tally",
    Base.metadata,
    Column("owner_id", Uuid(), nullable=False),
    Column("what", Text(), nullable=False),
    Column("hour", DateTime(timezone=True)),
    Column("n", BigInteger(), nullable=False),
    comment="what: a status, or ended:completed and ended:failed with the hour in which it ended",
    postgresql_with=_COUNTERS,
)
NodeTally = Table(
    "node_tally",
    Base.metadata,
    Column("owner_id", Uuid(), nullable=False),
    Column("status", Text(), nullable=False),
    Column("desired", Text(), nullable=False),
    Column("n", BigInteger(), nullable=False),
    postgresql_with=_COUNTERS,
)
UsageTally = Table(
    "usage_tally",
    Base.metadata,
    Column("owner_id", Uuid(), nullable=False),
    Column("project_id", Uuid()),
    Column("credential_id", Uuid()),
    Column("input_tokens", BigInteger(), nullable=False),
    Column("output_tokens", BigInteger(), nullable=False),
    Column("cache_read_tokens", BigInteger(), nullable=False),
    Column("cache_write_tokens", BigInteger(), nullable=False),
    Column("cost_usd", Numeric(18, 6), nullable=False),
    comment="what was spent; it stays when the issue is deleted",
    postgresql_with=_COUNTERS,
)


class IssueText(Base):
    """`content` is title and beginning of the description, folded; the index holds hashes of its short runs."""

    __tablename__ = "issue_text"

    issue_id: Mapped[UUID] = mapped_column(ForeignKey("issue.id", ondelete="CASCADE"), primary_key=True)
    owner_id: Mapped[UUID]
    content: Mapped[str] = mapped_column(Text(collation="C"))

    __table_args__ = (
        Index(
            "ix_issue_text_grams",
            text("issue_search_grams(content)"),
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 1024},
        ),
    )


# So that the tables can be made from the models, to compare them. Revision 010 says what it really does.
event.listen(
    IssueText.__table__,
    "before_create",
    DDL("""
CREATE FUNCTION issue_search_grams(content text) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT ARRAY[hashtext(content)]'
"""),
)


class NodeText(Base):
    """Name, address and description in lower case. Beside the nodes, whose rows are wide and rewritten at each beat."""

    __tablename__ = "node_text"

    node_id: Mapped[UUID] = mapped_column(ForeignKey("node.id", ondelete="CASCADE"), primary_key=True)
    content: Mapped[str] = mapped_column(Text(collation="C"))
