"""The agent's calls when the network, or the server, does not answer as it should. The peer is a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from app.agent import client as client_module
from app.agent.client import Client, LogGap, NotTaking, Refused, StaleBoot, Superseded, Unreachable, patiently
from app.protocol import Action, Claim, Finish, Heartbeat, HeldAttempt, LogBatch, Register, Result
from tests.agent.harness import REGISTRATION_KEY

ATTEMPT = UUID("0197f0aa-0000-7000-8000-000000000001")
BEAT = {"desired": "active", "heartbeat_interval_s": 15, "attempts": []}


class Peer:
    """Answers each request with the next of `answers`: (status, body, headers), or hangs up for None."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object, dict[str, str]] | None] = []
        self.requests: list[tuple[str, str]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((head.split(" HTTP")[0], headers["authorization"].removeprefix("bearer ")))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                status, body, more = answer
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                lines = [
                    f"HTTP/1.1 {status} x",
                    f"content-length: {len(content)}",
                    *(f"{k}: {v}" for k, v in more.items()),
                ]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    listening = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield peer
    listening.close()


@pytest.fixture
async def client(peer, monkeypatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.1)
    client = Client(peer.url)
    client.token = "nyn_one"
    yield client
    await client.aclose()


def refusal(code: str, **more: object) -> dict[str, object]:
    return {"type": "about:blank", "title": "x", "status": 409, "detail": "no", "code": code, **more}


async def test_what_never_arrived_is_sent_again_until_it_is_answered(peer, client):
    peer.answers = [
        None,
        (503, "", {}),
        (429, "", {}),
        (500, "<html>", {}),
        (200, "<html>", {}),
        (200, {"status": "running"}, {}),
    ]
    await client.start(ATTEMPT, patience_s=60)
    assert len(peer.requests) == 6
    assert len(set(peer.requests)) == 1


async def test_a_server_that_names_a_time_gets_it(peer, client):
    peer.answers = [(503, "", {"Retry-After": "1"}), (200, {"status": "running"}, {})]
    began = asyncio.get_running_loop().time()
    await client.start(ATTEMPT, patience_s=60)
    assert asyncio.get_running_loop().time() - began >= 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 415])
async def test_a_refusal_is_never_repeated(peer, client, status):
    peer.answers = [(status, refusal("some_code"), {})]
    with pytest.raises(Refused):
        await client.finish(ATTEMPT, Finish(Result.CANCELLED, 0))
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("stale_boot", StaleBoot),
        ("node_paused", NotTaking),
        ("node_draining", NotTaking),
        ("attempt_superseded", Superseded),
        ("attempt_cancelled", Superseded),
        ("attempt_finished", Superseded),
    ],
)
async def test_a_conflict_says_which(peer, client, code, kind):
    peer.answers = [(409, refusal(code), {})]
    with pytest.raises(kind):
        await client.claim(Claim(ATTEMPT, "boot"), wait_s=0, patience_s=0)


async def test_a_gap_in_the_log_says_where(peer, client):
    peer.answers = [(409, refusal("log_gap", next_seq=7), {})]
    with pytest.raises(LogGap) as gap:
        await client.logs(ATTEMPT, LogBatch(9, []))
    assert gap.value.next_seq == 7


async def test_a_heartbeat_is_sent_once(peer, client):
    peer.answers = [(503, "", {})]
    with pytest.raises(Unreachable):
        await client.heartbeat(Heartbeat("boot"))
    assert len(peer.requests) == 1


async def test_a_node_with_hundreds_of_attempts_is_heard(server):
    client = Client(server.url)
    body = Register(name="large", machine_id="large-machine", boot_id="boot", max_slots=1000)
    held = [HeldAttempt(uuid4(), "running") for _ in range(500)]
    try:
        client.token = (await client.register(REGISTRATION_KEY, body, patience_s=5)).node_token
        answer = await client.heartbeat(Heartbeat("boot", 500, held))
    finally:
        await client.aclose()
    assert [order.action for order in answer.attempts] == [Action.ABANDON] * 500


async def test_a_token_that_is_not_known_is_renewed_once(peer, client):
    async def renew(used: str) -> None:
        assert used == "nyn_one"
        client.token = "nyn_two"

    client.renew = renew
    peer.answers = [(401, refusal("unauthorized"), {}), (200, BEAT, {})]
    await client.heartbeat(Heartbeat("boot"))
    assert [token for _, token in peer.requests] == ["nyn_one", "nyn_two"]


async def test_no_work_is_an_empty_answer(peer, client):
    peer.answers = [(204, "", {})]
    assert await client.claim(Claim(ATTEMPT, "boot"), wait_s=0, patience_s=0) == []


async def test_the_registration_key_is_not_repeated_when_it_is_wrong(peer, client):
    peer.answers = [(401, refusal("invalid_registration_key"), {})]
    with pytest.raises(client_module.Unauthorized):
        await client.register("nyr_key", Register("n", "machine-1", "boot"))
    assert [token for _, token in peer.requests] == ["nyr_key"]


async def test_a_fleet_does_not_come_back_in_one_moment(monkeypatch):
    """A thousand agents that lost the server in the same instant try again spread over the whole pause."""
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)
        raise asyncio.CancelledError

    async def away() -> bytes:
        raise Unreachable("away")

    monkeypatch.setattr(client_module.asyncio, "sleep", note)
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 10.0)
    for _ in range(1000):
        with pytest.raises(asyncio.CancelledError):
            await patiently(away, None)
    tenths = [sum(1 for pause in pauses if tenth <= pause < tenth + 1) for tenth in range(10)]
    assert max(tenths) < 200
    assert min(tenths) > 40
