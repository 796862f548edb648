"""Refusals say which field is wrong and what to put there."""

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


async def test_every_answer_carries_its_request_id(anyone: httpx2.AsyncClient):
    for path in ("/healthz", "/nowhere", "/api/v1/issues"):
        answer = await anyone.get(path, headers={"X-Request-ID": "asked-for-1"})
        assert answer.headers["x-request-id"] == "asked-for-1"
        assert answer.status_code == 200 or answer.json()["request_id"] == "asked-for-1"


async def test_a_path_that_no_route_has_is_a_problem(anyone: httpx2.AsyncClient):
    answer = await anyone.delete("/api/v1/issues")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert (await anyone.get("/api/v1/none")).json()["code"] == "not_found"
