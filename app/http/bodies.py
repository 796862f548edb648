"""Reading JSON bodies strictly. Litestar's own reading takes 0 for false, "7" for 7 and 0 for a point in time."""

import re
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import ValidationException

_WHERE = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"field `(?P<name>[^`]*)`")


class StrictRequest(Request[Any, Any, State]):
    """Decodes the body into what the handler asks for as `data`, so that every refusal names its field."""

    async def json(self) -> Any:
        data = self.route_handler.parsed_fn_signature.parameters.get("data")
        if data is None:
            return await super().json()
        try:
            return _decoder(data.annotation).decode(await self.body() or b"null")
        except msgspec.ValidationError as problem:
            raise _refusal(str(problem)) from problem
        except msgspec.DecodeError as problem:
            raise _refusal(f"The body is not JSON: {problem}") from problem


@lru_cache(maxsize=256)
def _decoder(annotation: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(annotation)


def _refusal(text: str) -> ValidationException:
    found = _WHERE.match(text)
    assert found is not None  # noqa: S101 - The expression matches any text.
    path = (found["path"] or "").strip(".")
    named = _NAMED.search(found["message"])
    field = ".".join(part for part in (path, named["name"] if named else "") if part)
    return ValidationException(extra=[{"key": field or "body", "message": found["message"], "source": "body"}])
