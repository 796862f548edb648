"""The calls that are answered in front of Litestar get the same answers there as behind it."""

import gzip
import json
from typing import Any

import httpx2
import pytest
from speaking import MakeNode, NodeClient, Queue

# The content type decides the way: with a parameter it is still JSON, but not as a node of ours sends it.
SHORT, LONG = "application/json", "application/json; charset=utf-8"
CLAIM, BEAT = "/api/v1/nodes/claim", "/api/v1/nodes/heartbeat"
ID = "0199d9a4-0000-7000-8000-000000000001"
LOGS, START, FINISH = (f"/api/v1/attempts/{ID}/{verb}" for verb in ("logs", "start", "finish"))
NOBODY = "nyn_" + "0" * 49


@pytest.fixture
async def node(make_node: MakeNode) -> NodeClient:
    return await make_node(max_slots=4)


async def both(
    node: NodeClient, path: str, body: bytes, query: str = "", **headers: str
) -> tuple[httpx2.Response, httpx2.Response]:
    short, long = [
        await node.http.post(f"{path}{query}", content=body, headers={"Content-Type": way, **headers})
        for way in (SHORT, LONG)
    ]
    return short, long


def gist(answer: httpx2.Response) -> tuple[Any, ...]:
    """What must be alike: not the request's id, nor how a body is spelt."""
    body: Any = answer.json() if answer.content else None
    if isinstance(body, dict):
        assert body.pop("request_id", answer.headers["x-request-id"]) == answer.headers["x-request-id"]
    kept = ("content-type", "retry-after", "www-authenticate")
    return answer.status_code, body, [answer.headers.get(name) for name in kept]


@pytest.mark.parametrize(
    ("path", "body", "query"),
    [
        (CLAIM, {"claim_id": ID, "boot_id": "boot-1"}, ""),
        (CLAIM, {"claim_id": ID, "boot_id": "boot-1"}, "?wait=0.01"),
        (CLAIM, {"claim_id": ID, "boot_id": "boot-1"}, "?wait=61"),
        (CLAIM, {"claim_id": ID, "boot_id": "boot-1"}, "?wait=soon"),
        (CLAIM, {"claim_id": ID, "boot_id": "boot-1"}, "?wait=-1"),
        (CLAIM, {"claim_id": ID, "boot_id": "boot-0"}, ""),
        (CLAIM, {"claim_id": ID, "boot_id": "boot-1", "max": 101}, ""),
        (CLAIM, {"claim_id": "7", "boot_id": "boot-1"}, ""),
        (CLAIM, {"boot_id": "boot-1", "of_tomorrow": True}, ""),
        (CLAIM, [], ""),
        (BEAT, {"boot_id": "boot-1", "attempts": [{"attempt_id": ID, "state": "running"}]}, ""),
        (BEAT, {"boot_id": "boot-1", "disk_free_bytes": -1}, ""),
        (BEAT, {"boot_id": "another"}, ""),
        (LOGS, {"first_seq": 0, "entries": []}, ""),
        (LOGS, {"first_seq": -1, "entries": []}, ""),
        (f"/api/v1/attempts/{'x' * 36}/logs", {"first_seq": 0, "entries": []}, ""),
        (START, None, ""),
        (START, {"of_tomorrow": True}, ""),
        (f"/api/v1/attempts/{'x' * 36}/start", None, ""),
        (FINISH, {"result": "succeeded", "next_seq": 0, "of_tomorrow": True}, ""),
        (FINISH, {"result": "succeeded", "next_seq": -1}, ""),
        (FINISH, {"result": "failed", "next_seq": 0, "failure_code": "boredom"}, ""),
        (FINISH, {"result": "succeeded", "next_seq": 0, "branch": "-x"}, ""),
        (FINISH, None, ""),
    ],
)
async def test_both_ways_answer_alike(node: NodeClient, path: str, body: object, query: str):
    short, long = await both(node, path, b"" if body is None else json.dumps(body).encode(), query)
    assert gist(short) == gist(long)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"boot_id": "\\ud800"}', b"[" * 100_000, b" " * 2_000_000])
@pytest.mark.parametrize("path", [CLAIM, BEAT, FINISH])
async def test_unreadable_bodies_are_refused_alike(node: NodeClient, path: str, body: bytes):
    short, long = await both(node, path, body)
    assert gist(short) == gist(long)
    assert short.status_code in {400, 413}


@pytest.mark.parametrize("path", [CLAIM, BEAT, LOGS, START, FINISH])
@pytest.mark.parametrize("token", ["", "Bearer", f"Bearer {NOBODY}", "Bearer nyu_x", f"bearer {NOBODY}", "Basic eDp5"])
async def test_strangers_are_refused_alike(node: NodeClient, path: str, token: str):
    body = {"claim_id": ID, "boot_id": "boot-1", "first_seq": 0, "entries": [], "result": "succeeded", "next_seq": 0}
    short, long = await both(node, path, json.dumps(body).encode(), Authorization=token)
    assert (short.status_code, short.json()["code"]) == (long.status_code, long.json()["code"]) == (401, "unauthorized")
    assert short.headers["www-authenticate"] == "Bearer"


async def test_text_is_no_json(node: NodeClient):
    answer = await node.http.post(CLAIM, content=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_log_batches_are_taken_alike(queue: Queue, node: NodeClient):
    await queue.add()
    path = f"/api/v1/attempts/{(await node.take())['attempt_id']}/logs"
    batch = {"first_seq": 0, "entries": [{"step_name": "clone", "status": "running", "output": "a\0b"}]}
    plain = json.dumps(batch).encode()
    short, long = await both(node, path, gzip.compress(plain), **{"Content-Encoding": "gzip"})
    assert gist(short) == gist(long) == (200, {"next_seq": 1, "action": "continue"}, ["application/json", None, None])
    gap = plain.replace(b'"first_seq": 0', b'"first_seq": 7')
    short, long = await both(node, path, gap)
    assert gist(short) == gist(long)
    assert (short.status_code, short.json()["code"], short.json()["next_seq"]) == (409, "log_gap", 1)


async def test_turns_are_taken_alike(queue: Queue, node: NodeClient):
    await queue.add()
    path = f"/api/v1/attempts/{(await node.take())['attempt_id']}"
    short, long = await both(node, f"{path}/start", b"")
    assert gist(short) == gist(long) == (200, {"status": "running"}, ["application/json", None, None])
    body = b'{"result":"succeeded","next_seq":0}'
    short, long = await both(node, f"{path}/finish", body)
    done = {"issue_status": "completed", "adopted": False}
    assert gist(short) == gist(long) == (200, done, ["application/json", None, None])


async def test_a_clients_request_id_is_kept(node: NodeClient):
    body = {"claim_id": ID, "boot_id": "boot-1"}
    answer = await node.http.post(CLAIM, json=body, headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"


async def test_the_calls_are_described_all_the_same(anyone: httpx2.AsyncClient):
    paths = (await anyone.get("/schema/openapi.json")).json()["paths"]
    of_attempts = {f"/api/v1/attempts/{{attempt_id}}/{verb}" for verb in ("logs", "start", "finish")}
    assert {CLAIM, BEAT, *of_attempts} <= paths.keys()
