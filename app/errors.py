"""Errors that a caller can cause. Each carries its status, a stable code and one sentence that says what to do.

Everything else is our bug and a 500.
"""

from collections.abc import Mapping
from typing import Any


class AppError(Exception):
    status = 500
    code = "internal"
    detail = "Something went wrong on the server."

    def __init__(self, detail: str | None = None, *, code: str | None = None, **members: Any) -> None:
        """`members` stand beside `code` in the problem document."""
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail
        self.code = code or self.code
        self.members = members

    @property
    def headers(self) -> Mapping[str, str]:
        return {}


class InvalidInput(AppError):
    """The body, a parameter or a reference is refused; nothing was stored."""

    status = 400
    code = "invalid_input"
    detail = "The request was refused; `errors` names the fields."

    def __init__(self, detail: str | None = None, *, field: str | None = None) -> None:
        super().__init__(detail, errors=[{"field": field or "body", "message": detail or self.detail}])


class Unauthorized(AppError):
    status = 401
    code = "unauthorized"
    detail = "Send a valid token as `Authorization: Bearer …`, or log in."

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(AppError):
    status = 403
    code = "forbidden"
    detail = "You may not do this."


class NotFound(AppError):
    status = 404
    code = "not_found"
    detail = "There is no such object, or it is not yours."


class Conflict(AppError):
    """A name or state clash; `code` says which."""

    status = 409
    code = "conflict"
    detail = "The object is not in a state that allows this."


class TooLarge(AppError):
    status = 413
    code = "too_large"
    detail = "The body is too large."


class WrongContentType(AppError):
    status = 415
    code = "unsupported_media_type"
    detail = "Send `Content-Type: application/json`."


class _TryLater(AppError):
    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class TooManyRequests(_TryLater):
    status = 429
    code = "too_many_requests"
    detail = "Too many requests; wait for `Retry-After` seconds."


class Unavailable(_TryLater):
    status = 503
    code = "unavailable"
    detail = "The database cannot be reached just now; send the request again."
