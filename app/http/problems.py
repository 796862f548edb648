"""Every refusal as an RFC 9457 problem document, and every failure of ours as a plain 500 that says nothing inside."""

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import HTTPScope, Send
from sqlalchemy.exc import IntegrityError

from app.db.outage import is_database_away
from app.errors import AppError, Unavailable
from app.protocol import FORMS, CredentialCategory, Desired, IssueStatus, NodeStatus
from app.schemas import FORMS as OPERATORS_FORMS

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger("nodeyard.http")

CODES = {
    400: "invalid_input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    503: "unavailable",
}
_NAMED_FIELD = re.compile(r"(?:unknown|missing required) field `([^`]*)`")
_FORMS = {repr(pattern): meaning for pattern, meaning in {**FORMS, **OPERATORS_FORMS}.items()}
_CHOICES: dict[str, Iterable[str]] = {
    "category": CredentialCategory,
    "desired": Desired,
    "sort": ("created_at", "priority"),
    "status": (*IssueStatus, *NodeStatus),
}
_PLAINER = {
    404: "There is nothing at this address; /schema/swagger lists all that there is.",
    405: "This address does not take {method}; /schema/swagger lists what it takes.",
}


def problem(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    detail: str,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request.scope["state"].get("request_id"),
        **(members or {}),
    }
    return Response(
        msgspec.json.encode(document), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def on_app_error(request: Request[Any, Any, Any], error: AppError) -> Response[bytes]:
    return problem(request, error.status, error.code, error.detail, error.members, error.headers)


def on_validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    extra: list[dict[str, Any]] = error.extra if isinstance(error.extra, list) else []
    errors = [_worded(str(item.get("key") or "data"), str(item.get("message", ""))) for item in extra]
    first = f"{errors[0]['field']}: {errors[0]['message']}" if errors else error.detail
    return problem(request, 400, "invalid_input", first, {"errors": errors or [{"field": "body", "message": first}]})


def _worded(field: str, message: str) -> dict[str, str]:
    """What msgspec says, with the field that is unknown or missing, and without regular expressions."""
    named = _NAMED_FIELD.search(message)
    if field == "data":
        field = named[1] if named else "body"
    if message == "'data'":
        message = "The body is missing; send a JSON object."
    if message.startswith("Invalid enum value") and field in _CHOICES:
        message += f"; choose one of {', '.join(_CHOICES[field])}"
    _, _, pattern = message.partition("matching regex ")
    return {"field": field, "message": _FORMS.get(pattern, message)}


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = error.status_code
    detail = str(error.detail)
    if detail == HTTPStatus(status).phrase:
        detail = _PLAINER.get(status, detail).format(method=request.method)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_bug(request, error)
    members = {"errors": [{"field": "body", "message": detail}]} if status == HTTPStatus.BAD_REQUEST else None
    return problem(request, status, CODES.get(status, HTTPStatus(status).name.lower()), detail, members, error.headers)


def on_unreadable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What a JSON decoder says of bytes that are no text, or of brackets nested without end."""
    detail = (
        "The body is not valid UTF-8." if isinstance(error, UnicodeDecodeError) else "The body is nested too deeply."
    )
    return problem(request, 400, "invalid_input", detail, {"errors": [{"field": "body", "message": detail}]})


def on_integrity(request: Request[Any, Any, Any], error: IntegrityError) -> Response[bytes]:
    """A constraint has the last word when two requests race; the slices refuse the plain cases with better words."""
    constraint = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
    detail = f"Another change came first, or the values do not fit together ({constraint}). Read it again and retry."
    return problem(request, 409, "conflict", detail)


def on_any(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    if is_database_away(error):
        log.warning("database away", error=type(error).__name__, path=request.scope["path"])
        return on_app_error(request, Unavailable())
    return on_bug(request, error)


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("unexpected error", path=request.scope["path"], method=request.method, exc_info=error)
    return problem(request, 500, "internal", "Something went wrong on the server. The request id is in its log.")


Handler = Callable[[Request[Any, Any, Any], Any], Response[bytes]]
HANDLERS: dict[type[Exception] | int, Handler] = {
    AppError: on_app_error,
    ValidationException: on_validation,
    HTTPException: on_http_error,
    UnicodeDecodeError: on_unreadable,
    RecursionError: on_unreadable,
    IntegrityError: on_integrity,
    Exception: on_any,
}


async def send(scope: HTTPScope, send: Send, error: Exception) -> None:
    """Answers as Litestar would, for a call that it does not see."""
    handler = next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)
    response = handler(Request(scope), error)
    headers = {**response.headers, "content-type": MEDIA_TYPE, "content-length": str(len(response.content))}
    encoded = [(name.lower().encode(), str(value).encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status_code or 500, "headers": encoded})
    await send({"type": "http.response.body", "body": response.content, "more_body": False})
