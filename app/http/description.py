"""The OpenAPI description: what every operation has in common, written once."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Contact, Operation, RequestBody, Schema, SecurityScheme, Tag
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from msgspec import UNSET, Struct, UnsetType

from app.deps import SESSION_COOKIE
from app.http import swagger
from app.http.examples import BODIES
from app.http.problems import MEDIA_TYPE
from app.protocol import Registered


class FieldError(Struct):
    field: str
    message: str


class Problem(Struct):
    """RFC 9457. `code` is stable; `errors` names the fields of refused input."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[FieldError] | UnsetType = UNSET


_MEANINGS = {
    400: "Refused input; `errors` names the fields. Nothing was stored.",
    401: "Credentials are missing or wrong.",
    403: "The caller is known and may not do this.",
    404: "There is no such object, or it is another person's.",
    409: "A name or state clash; `code` says which.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    429: "Too many tries; wait for `Retry-After` seconds.",
    503: "The database is away; send the request again after `Retry-After` seconds.",
}
# Successes that have another status than the usual one.
_BESIDES: dict[str, dict[int, ResponseSpec]] = {
    "register": {200: ResponseSpec(Registered, generate_examples=False, description="The machine was known already.")},
    "claim": {204: ResponseSpec(None, generate_examples=False, description="There was no work within `wait`.")},
}
_PERSON: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
_TAGS = {
    "auth": "Logging in, sessions, tokens of scripts.",
    "users": "People; for superusers.",
    "projects": "Groups of issues that can be paused and capped.",
    "repositories": "Where the work happens.",
    "prompts": "Templates of what a tool is told.",
    "credentials": "Secrets of tools, and the nodes that may use them.",
    "issues": "The queue.",
    "logs": "What happened in each attempt.",
    "nodes": "The fleet.",
    "registration key": "The one key that lets nodes in.",
    "dashboard": "Numbers, and one stream of changes.",
    "audit": "Who did what.",
    "nodes' protocol": "What nodes call; see PROTOCOL.",
    "server": "Health and version.",
}


@dataclass
class DescribedOperation(Operation):
    """Shows the sample body that `app.http.examples` has for it."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = not _may_be_left_out(self.request_body)
        body = BODIES.get(self.operation_id or "")
        if body is not None and isinstance(self.request_body, RequestBody):
            for content in self.request_body.content.values():
                content.example = body


def _may_be_left_out(body: RequestBody) -> bool:
    """A handler that takes null takes no body too."""
    schemas = [content.schema for content in body.content.values()]
    kinds = [kind for schema in schemas if isinstance(schema, Schema) for kind in schema.one_of or ()]
    return any(isinstance(kind, Schema) and kind.type == OpenAPIType.NULL for kind in kinds)


class Described(ReceiveRoutePlugin):
    """Gives each route its refusals and the credentials that it takes."""

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if handler.include_in_schema is not False and route.path.startswith("/api/"):
                    _describe(route, handler)


def _describe(route: HTTPRoute, handler: HTTPRouteHandler) -> None:
    is_node = "nodes' protocol" in (handler.resolve_tags() or ())
    handler.operation_class = DescribedOperation
    handler.responses = {
        **{status: _refusal(status) for status in _refusals(route, handler, is_node=is_node)},
        **_BESIDES.get(handler.handler_name, {}),
        **(handler.responses or {}),
    }
    if handler.opt.get("public"):
        handler.security = [{}]
    else:
        handler.security = [{"node": []}] if is_node else _PERSON


def _refusals(route: HTTPRoute, handler: HTTPRouteHandler, *, is_node: bool) -> list[int]:
    has_body = bool(handler.http_methods & {"POST", "PUT", "PATCH"})
    statuses = [400, 401, 403, 503]
    if route.path_parameters:
        statuses.append(404)
    if has_body:
        statuses += [404, 409, 413, 415, 429]
    elif is_node or "DELETE" in handler.http_methods:
        statuses.append(409)
    return sorted(set(statuses))


def _refusal(status: int) -> ResponseSpec:
    return ResponseSpec(Problem, generate_examples=False, description=_MEANINGS[status], media_type=MEDIA_TYPE)


def document(app: Litestar) -> bytes:
    """The description as it is committed and served, the same bytes for the same code."""
    return json.dumps(app.openapi_schema.to_schema(), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _operation_id(handler: HTTPRouteHandler, *_: Any) -> str:
    """The handler's own name, which is unique and does not change when its path does."""
    return handler.handler_name


def config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Nodeyard",
        version=version("nodeyard"),
        summary="The control plane for a fleet of machines that run AI coding tools.",
        path="/schema",
        contact=Contact(name="Nodeyard"),
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        tags=[Tag(name, description) for name, description in _TAGS.items()],
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer", description="A person's token, nyu_…"),
                "session": SecurityScheme(
                    type="apiKey", security_scheme_in="cookie", name=SESSION_COOKIE, description="The page's session."
                ),
                "node": SecurityScheme(
                    type="http", scheme="bearer", description="A node's token, nyn_…; to register, the key, nyr_…"
                ),
            }
        ),
        render_plugins=[JsonRenderPlugin(path="/openapi.json"), swagger.page()],
    )
