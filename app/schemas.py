"""The shapes that every operators' call shares: bodies that refuse unknown fields, and the one page of a list."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from app.errors import InvalidInput
from app.protocol import END, require_utc

EMAIL = rf"^[^\x00-\x20\x7f@]+@[^\x00-\x20\x7f@]+{END}"
MOMENT = rf"^\d{{4}}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{{1,9}})?(?:[Zz]|[+-]\d\d:\d\d){END}"
CURSOR = rf"^[A-Za-z0-9_=-]*{END}"
ENTRY_OR_SEQ = rf"^(?:-1|[0-9]{{1,9}}|[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}){END}"
FORMS = {
    EMAIL: "must be an email address, as ada@example.org",
    MOMENT: "must be a point in time with an offset, as 2026-11-23T06:00:00Z",
    CURSOR: "must be a next_cursor that this list gave",
    ENTRY_OR_SEQ: "must be the id of an entry, or a seq from -1 on",
}
"""What a person reads in place of a pattern; see `FORMS` in `app.protocol` too."""

Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=255,
        pattern=EMAIL,
        examples=["ada@example.org"],
    ),
]
NewPassword = Annotated[str, Meta(min_length=8, max_length=1024, pattern=r"^[^\x00]*$", examples=["correct horse 9"])]
# Litestar heeds only the bounds that stand in the parameter itself.
FilterText = Annotated[str | None, QueryParameter(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
FilterMoment = Annotated[
    str | None,
    QueryParameter(
        max_length=40,
        pattern=MOMENT,
        description="RFC 3339 with an offset.",
        schema_extra={"format": "date-time"},
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=200, description="How many items at most.")]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=1024, pattern=CURSOR, description="`next_cursor` of the page before, same filters."),
]
MaxRunning = Annotated[int, Meta(ge=0, le=2**31 - 1, description="How many of its issues run at once; null: any.")]


class Body(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a person sends. An unknown field is refused, so that a misspelt one is not silently dropped."""


class Page(Struct, kw_only=True):
    """Each list adds its `items`. `next_cursor` is null at the end; `total` counts all that the filters let through."""

    next_cursor: str | None
    total: int


class UsageTotals(Struct):
    """What was spent over all attempts and models; of more than one issue also on those deleted since."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0


def moment(text: str | None, field: str) -> datetime | None:
    """The point in time that a filter names. Raises `InvalidInput` for one that no calendar has."""
    if text is None:
        return None
    try:
        found = msgspec.convert(text, datetime)
        require_utc(found, field)
    except ValueError as problem:
        raise InvalidInput(str(problem), field=field) from problem
    return found
