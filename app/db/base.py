"""The declarative base, the naming convention, and the column types that every table shares."""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Annotated
from uuid import UUID, uuid4

from sqlalchemy import Computed, DateTime, MetaData, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute.
        str: Text(),
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        list[str]: ARRAY(Text()),
    }


def new_id() -> UUID:
    """UUID version 7 (RFC 9562): sorts by the time it was made. PostgreSQL makes them only from version 18 on."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds.to_bytes(6, "big") + os.urandom(10)
    number = int.from_bytes(value, "big")
    number = number & ~(0xF << 76) | (0x7 << 76)
    return UUID(int=number & ~(0x3 << 62) | (0x2 << 62))


def new_ids() -> Iterator[UUID]:
    """As many as are wanted, each next to the one before, so that the system is asked for random bits only once."""
    first = new_id().int & ~(1 << 61)  # Room to count without touching the variant.
    return (UUID(int=number) for number in count(first))


Id = Annotated[UUID, mapped_column(primary_key=True, default=new_id)]
# Branches are named after the first eight digits of an issue's id, which in version 7 change once a minute only.
RandomId = Annotated[UUID, mapped_column(primary_key=True, default=uuid4)]
CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]
# clock_timestamp() and not now(): a statement may have waited for a lock since its transaction began.
UpdatedAt = Annotated[datetime, mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())]


def folded(*columns: str) -> Mapped[str]:
    """What searches look into: these columns in lower case, kept by the database. Bytes are compared, which is fast."""
    text = " || chr(10) || ".join(f"coalesce({column}, '')" for column in columns)
    return mapped_column(Text(collation="C"), Computed(f"lower({text})", persisted=True), deferred=True)
