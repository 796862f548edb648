"""What every list and every row of the operators' API has in common."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import ColumnElement, Select, TextClause, func, select, true, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.db.base import Base
from app.errors import InvalidInput, NotFound
from app.vault import Vault

Row = TypeVar("Row", bound=Base)
Shape = TypeVar("Shape", bound=Struct)
Key = InstrumentedAttribute[Any]
BROAD = 2000
"""With so many hits the newest page is found soonest by walking from the newest row on."""
_BAD_CURSOR = "The cursor is not one of this list with these filters; start without it."


class Sees(Protocol):
    """Whoever looks: a person, superuser or not."""

    @property
    def id(self) -> UUID: ...
    @property
    def is_superuser(self) -> bool: ...


def visible_to(viewer: Sees, model: type[Any]) -> ColumnElement[bool]:
    """The only filter of ownership: one's own rows, and everything for a superuser."""
    return true() if viewer.is_superuser else model.owner_id == viewer.id


def equal(wanted: object | None, column: ColumnElement[Any] | Key) -> ColumnElement[bool]:
    """A filter that leaves everything in when nothing is `wanted`."""
    return true() if wanted is None else column == wanted


def matches(q: str | None, folded: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """Whether a text in lower case holds `q` as it stands, in any case. Without `q` all do."""
    # A subquery, so that `q` is folded once and not for every row.
    return true() if q is None else func.strpos(folded, select(func.lower(q)).scalar_subquery()) > 0


async def get_or_404(session: AsyncSession, model: type[Row], key: UUID, *where: ColumnElement[bool]) -> Row:
    row = await session.scalar(select(model).where(model.__table__.c.id == key, *where))
    if row is None:
        raise NotFound
    return row


async def lock_or_404(session: AsyncSession, model: type[Row], key: UUID, *where: ColumnElement[bool]) -> Row:
    """As `get_or_404`, and nobody else changes the row before this transaction ends."""
    statement = select(model).where(model.__table__.c.id == key, *where).with_for_update()
    row = await session.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise NotFound
    return row


def given(body: Struct) -> dict[str, Any]:
    """The fields that a PATCH names, null included; what it leaves out is absent."""
    return {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not UNSET}


async def add(session: AsyncSession, row: Row) -> Row:
    """Store a new row, and learn what the database made of it."""
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


async def patched(session: AsyncSession, row: Base, body: Struct) -> None:
    """Change the fields that `body` names, and those alone."""
    for name, value in given(body).items():
        setattr(row, name, value)
    await session.flush()
    await session.refresh(row)


class Paging(Struct, frozen=True):
    """Which part of a list is asked for. `bound_to` names the list with its filters: the cursor opens only there."""

    limit: int
    cursor: str | None
    bound_to: str
    vault: Vault

    def after(self, keys: Sequence[Key]) -> list[Any] | None:
        """The sort key of the last item of the page before. Raises `InvalidInput` for a cursor of another list."""
        if self.cursor is None:
            return None
        try:
            signed = base64.urlsafe_b64decode(self.cursor)
            signature, payload = signed[:16], signed[16:]
            if not self.vault.is_signed(self._message(payload), signature):
                raise InvalidInput(_BAD_CURSOR, field="cursor")
            values = msgspec.json.decode(payload, type=list[Any])
            return [
                msgspec.convert(value, key.type.python_type, strict=False)
                for key, value in zip(keys, values, strict=True)
            ]
        except (binascii.Error, ValueError) as problem:
            raise InvalidInput(_BAD_CURSOR, field="cursor") from problem

    def cursor_after(self, values: Sequence[Any]) -> str:
        payload = msgspec.json.encode(list(values))
        return base64.urlsafe_b64encode(self.vault.sign(self._message(payload)) + payload).decode()

    def _message(self, payload: bytes) -> bytes:
        return self.bound_to.encode() + b"\x00" + payload


def shaped(row: object, shape: type[Shape]) -> Shape:
    """A row as an answer shows it: the fields of `shape`, taken from the attributes of the same names."""
    return msgspec.convert(row, shape, from_attributes=True)


class Slice(Struct):
    rows: Sequence[Any]
    next_cursor: str | None
    total: int

    def as_page(self, page: type[Shape], item: Callable[[Any], object]) -> Shape:
        """`item` makes one entry of `page` from one row."""
        return page(items=[item(row) for row in self.rows], next_cursor=self.next_cursor, total=self.total)


async def page(
    session: AsyncSession,
    statement: Select[Any],
    paging: Paging,
    keys: Sequence[Key],
    *,
    descending: bool = True,
    total: int | None = None,
    parts: Sequence[ColumnElement[bool] | TextClause] = (),
) -> Slice:
    """One page of `statement`, which selects one entity, in the order of `keys` (the last of them unique).

    Reads one row more than asked for, which tells whether there is a next page. `total` is counted unless given.
    `parts`: see `cut`.
    """
    if total is None:
        counted = statement.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
        total = (await session.scalar(counted)) or 0
    one_page = cut(statement, paging, keys, descending=descending, parts=parts)
    if total == 0:
        return Slice([], None, 0)
    rows = (await session.scalars(one_page)).all()
    if len(rows) <= paging.limit:
        return Slice(rows, None, total)
    rows = rows[: paging.limit]
    return Slice(rows, paging.cursor_after([getattr(rows[-1], key.key) for key in keys]), total)


def cut(
    statement: Select[Any],
    paging: Paging,
    keys: Sequence[Key],
    *,
    descending: bool = True,
    parts: Sequence[ColumnElement[bool] | TextClause] = (),
) -> Select[Any]:
    """The rows of one page and one more.

    `parts` say how the rows fall into kinds that have an index each: every kind then gives as many, in its index's
    order, and the page is chosen among those.
    """
    after = paging.after(keys)
    if after is not None:
        mark = tuple_(*after, types=[key.type for key in keys])
        statement = statement.where(tuple_(*keys) < mark if descending else tuple_(*keys) > mark)
    order = [key.desc() if descending else key.asc() for key in keys]
    if parts:
        firsts = [statement.with_only_columns(keys[-1]).where(part).order_by(*order) for part in parts]
        chosen = union_all(*(each.limit(paging.limit + 1) for each in firsts)).subquery()
        statement = select(keys[-1].class_).where(keys[-1].in_(select(chosen.c[0])))
    return statement.order_by(*order).limit(paging.limit + 1)


async def newest(
    session: AsyncSession, paging: Paging, model: type[Any], *where: ColumnElement[bool], total: int | None = None
) -> Slice:
    """One page of the rows that pass all of `where`, those created last first. `total` is counted unless given."""
    return await page(session, select(model).where(*where), paging, [model.created_at, model.id], total=total)


async def newest_of(
    session: AsyncSession, viewer: Sees, paging: Paging, model: type[Any], q: str | None, *where: ColumnElement[bool]
) -> Slice:
    """As `newest`, of the rows that the viewer may see and whose `folded` text holds `q`."""
    return await newest(session, paging, model, visible_to(viewer, model), matches(q, model.folded), *where)
