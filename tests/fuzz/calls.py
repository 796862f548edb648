"""Requests from the OpenAPI description, mostly right but for one thing, and some that are wrong altogether."""

import json
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from fuzz import hostile

METHODS = ("get", "post", "put", "patch", "delete")
# They answer as long as they are listened to.
_STREAMS = ("/api/v1/events", "/api/v1/issues/{issue_id}/logs/stream")


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    query: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None

    def __str__(self) -> str:
        body = "" if self.body is None else f" body {self.body[:200]!r} ({len(self.body)} bytes)"
        return f"{self.method} {self.path} {self.query} {self.headers}{body}"


@dataclass
class Known:
    """Tokens and ids that are really there, by the name of the path parameter that they belong to."""

    tokens: list[str]
    ids: dict[str, list[str]]
    cursors: list[str]


class Generator:
    def __init__(self, description: dict[str, Any], known: Known, seed: int) -> None:
        self._schemas = description["components"]["schemas"]
        self._known = known
        self._dice = random.Random(seed)
        self._routes = [
            (method, path, route[method])
            for path, route in description["paths"].items()
            for method in METHODS
            if method in route and path not in _STREAMS and path.startswith("/api/")
        ]

    def request(self) -> Request:
        method, template, operation = self._dice.choice(self._routes)
        parameters = operation.get("parameters", [])
        path = template
        for each in parameters:
            if each["in"] == "path":
                path = path.replace("{" + each["name"] + "}", self._path_value(each["name"]))
        request = Request(method.upper(), path, self._headers(), self._query(parameters))
        content = operation.get("requestBody", {}).get("content", {})
        if content or self._dice.random() < 0.05:
            schema = next(iter(content.values()))["schema"] if content else {}
            self._fill_body(request, schema)
        return request

    def _headers(self) -> dict[str, str]:
        token = self._dice.choice([*self._known.tokens * 4, "", "nyn_x", "x" * 5000, "nyu_" + "0" * 50, "\xe9"])
        headers = {"Authorization": self._dice.choice(["Bearer "] * 20 + ["bearer ", "Basic ", "Bearer"]) + token}
        if self._dice.random() < 0.02:
            headers = {"Cookie": "nodeyard_session=" + self._dice.choice(["", "x", token[:60].strip("\xe9")])}
        return headers

    def _path_value(self, name: str) -> str:
        ids = self._known.ids
        choices = [self._dice.choice(ids.get(name) or hostile.PATH_VALUES)] * 6
        other = self._dice.choice([each for kind in ids.values() for each in kind])
        return self._dice.choice([*choices, other, self._dice.choice(hostile.PATH_VALUES)])

    def _query(self, parameters: list[dict[str, Any]]) -> list[tuple[str, str]]:
        query: list[tuple[str, str]] = []
        for each in parameters:
            if each["in"] == "query" and self._dice.random() < 0.3:
                values = hostile.QUERY_VALUES + (self._known.cursors if each["name"] == "cursor" else [])
                query.append((each["name"], self._dice.choice(values)))
        if self._dice.random() < 0.03:
            query.append((self._dice.choice(["limit", "x", "", "cursor"]), self._dice.choice(hostile.QUERY_VALUES)))
        # A claim with a wait is not hung, it waits.
        return [(name, value) for name, value in query if name != "wait" or value not in {"1", "1e3", "61"}]

    def _fill_body(self, request: Request, schema: dict[str, Any]) -> None:
        request.headers["Content-Type"] = "application/json"
        fate = self._dice.random()
        if fate < 0.15:
            request.body = self._dice.choice(hostile.RAW_BODIES)
        elif fate < 0.2:
            request.headers["Content-Encoding"] = self._dice.choice(["gzip", "gzip", "GZIP", "deflate", "br"])
            request.body = self._dice.choice(hostile.GZIP_BODIES)
        else:
            document = self._valid(schema)
            if fate < 0.9:
                document = self._spoilt(document)
            request.body = json.dumps(document).encode()
            if fate > 0.97:
                request.headers["Content-Type"] = self._dice.choice(hostile.CONTENT_TYPES)

    def _spoilt(self, document: Any) -> Any:
        """With one value, somewhere inside, that is not what it should be."""
        if isinstance(document, dict) and document and self._dice.random() < 0.9:
            name = self._dice.choice(list(document))
            if self._dice.random() < 0.1:
                return {each: value for each, value in document.items() if each != name}
            return {**document, name: self._spoilt(document[name])}
        if isinstance(document, dict) and self._dice.random() < 0.5:
            return {**document, self._dice.choice(["status", "id", "owner_id", "__class__", ""]): 1}
        if isinstance(document, list) and document and self._dice.random() < 0.6:
            return [self._spoilt(document[0]), *document[1:]]
        return self._dice.choice(hostile.VALUES)

    def _valid(self, schema: dict[str, Any], depth: int = 0) -> Any:
        """Something that the description allows, as far as a few lines can tell."""
        if "$ref" in schema:
            return self._valid(self._schemas[schema["$ref"].rpartition("/")[2]], depth)
        for several in ("oneOf", "anyOf", "allOf"):
            if several in schema:
                return self._valid(self._dice.choice(schema[several]), depth)
        choices = schema.get("enum") or schema.get("examples") or ([schema["const"]] if "const" in schema else None)
        if choices:
            return self._dice.choice(choices)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self._dice.choice(kind)
        if kind == "object":
            wanted = set(schema.get("required", []))
            fields = schema.get("properties", {})
            return {
                name: self._valid(each, depth + 1)
                for name, each in fields.items()
                if name in wanted or self._dice.random() < 0.5
            }
        if kind == "array":
            return [self._valid(schema.get("items", {}), depth + 1) for _ in range(max(schema.get("minItems", 0), 1))]
        return self._scalar(kind, schema)

    def _scalar(self, kind: str | None, schema: dict[str, Any]) -> Any:
        if schema.get("format") == "uuid":
            return self._dice.choice([each for ids in self._known.ids.values() for each in ids])
        match kind:
            case "integer" | "number":
                return max(schema.get("minimum", 0), 1)
            case "boolean":
                return self._dice.random() < 0.5
            case "string":
                return "fuzz" + "x" * max(schema.get("minLength", 0) - 4, 0) + str(self._dice.randint(0, 99))
            case _:
                return None


def url(request: Request) -> str:
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in request.query)
    return request.path + (f"?{query}" if query else "")
