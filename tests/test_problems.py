"""Refusals say which field is wrong and what to put there."""

from uuid import UUID

import httpx2
import pytest


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"title": "x", "foo": 1}, "foo", "unknown field"),
        ({}, "title", "missing required field"),
        ({"title": "x\ny"}, "title", "one line"),
        ({"title": "x", "repository_url": "ext::sh -c true"}, "repository_url", "https://host/path"),
        ({"title": "x", "repository_url": "https://me:secret@example.com/x"}, "repository_url", "without a password"),
        ({"title": "x", "base_branch": "a..b"}, "base_branch", "git accepts"),
        ({"title": "x", "requires": ["a b"]}, "requires[0]", "one word"),
        ({"title": "x", "priority": 2**31}, "priority", "<= 2147483647"),
        ({"title": "x\n"}, "title", "one line"),
        ({"title": "x", "base_branch": "main\n"}, "base_branch", "git accepts"),
        ({"title": "x", "tool": "cursor\n"}, "tool", "lower-case"),
        ({"title": "x", "requires": ["gpu\n"]}, "requires[0]", "one word"),
        ({"title": "x", "repository_url": "https://example.com/x.git\n"}, "repository_url", "https://host/path"),
    ],
)
async def test_refused_input_names_the_field(
    admin: httpx2.AsyncClient, body: dict[str, object], field: str, words: str
):
    answer = await admin.post("/api/v1/issues", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("/issues?sort=age", "sort", "choose one of created_at, priority"),
        ("/issues?status=done", "status", "pending_merge"),
        ("/nodes?desired=asleep", "desired", "draining"),
        ("/credentials?category=cluade-code", "category", "claude-code"),
        ("/issues?created_after=yesterday", "created_after", "as 2026-11-23T06:00:00Z"),
        ("/issues?created_after=0001-01-01T00:00:00%2B14:00", "created_after", "years 1 to 9999 of UTC"),
        ("/audit?until=9999-12-31T23:59:59-14:00", "until", "years 1 to 9999 of UTC"),
        ("/issues?cursor=%20", "cursor", "next_cursor"),
        ("/issues?limit=201", "limit", "<= 200"),
        ("/issues?statsu=failed", "statsu", "node_id"),
        (f"/issues/{UUID(int=1)}/logs?issue_id=1", "issue_id", "takes after, attempt_id, cursor, limit."),
    ],
)
async def test_a_refused_parameter_says_what_to_put_there(admin: httpx2.AsyncClient, path: str, field: str, words: str):
    answer = await admin.get(f"/api/v1{path}")
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "field", "words"),
    [
        ("/users", {"email": "ada@example.org\n", "password": "long enough"}, "email", "ada@example.org"),
        ("/users", {"email": "nobody", "password": "long enough"}, "email", "ada@example.org"),
        ("/credentials", {"title": "x", "category": "cursor", "pat": "secret\n"}, "pat", "one line"),
        ("/issues", None, "body", "send a JSON object"),
    ],
)
async def test_a_refused_body_says_what_to_send(
    admin: httpx2.AsyncClient, path: str, body: object, field: str, words: str
):
    answer = await admin.post(f"/api/v1{path}", json=body) if body else await admin.post(f"/api/v1{path}")
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"]


async def test_every_answer_carries_its_request_id(anyone: httpx2.AsyncClient):
    for path in ("/healthz", "/nowhere", "/api/v1/issues"):
        answer = await anyone.get(path, headers={"X-Request-ID": "asked-for-1"})
        assert answer.headers["x-request-id"] == "asked-for-1"
        assert answer.status_code == 200 or answer.json()["request_id"] == "asked-for-1"


async def test_a_path_that_no_route_has_is_a_problem(anyone: httpx2.AsyncClient):
    answer = await anyone.delete("/api/v1/issues")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "DELETE" in answer.json()["detail"]
    answer = await anyone.get("/api/v1/none")
    assert answer.json()["code"] == "not_found"
    assert "/schema/swagger" in answer.json()["detail"]
