"""The server while its database is gone, frozen, or busy with others: it answers, and it comes back by itself."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from chaos.cluster import ADMIN, REGISTRATION_KEY, Postgres, Server, thaw
from yarl import URL

LEASE_S = 4.0
FAST = {
    "NODEYARD_HEARTBEAT_INTERVAL_S": "0.5",
    "NODEYARD_LEASE_S": str(LEASE_S),
    "NODEYARD_START_WITHIN_S": "60",
}


class Caller:
    """Speaks to the server over a socket, as a node and as an operator."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url
        self.node = self.person = ""
        self.held: list[str] = []

    async def send(self, method: str, path: str, body: object = None, token: str = ""):
        """Status, document, headers, and how long it took in seconds."""
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.request(method, f"{self.url}{path}", json=body, headers=headers) as answer:
            is_json = "json" in answer.content_type
            document = await answer.json(content_type=None) if is_json else await answer.text()
            return answer.status, document, answer.headers, time.monotonic() - started

    async def prepare(self) -> None:
        login = {"email": ADMIN[0], "password": ADMIN[1]}
        self.person = (await self.send("POST", "/api/v1/auth/login", login))[1]["token"]
        machine = {"name": "node", "machine_id": "machine-1", "boot_id": "boot", "version": "1", "max_slots": 5}
        self.node = (await self.send("POST", "/api/v1/nodes/register", machine, REGISTRATION_KEY))[1]["node_token"]
        # What an earlier test asked for while the database was away may have been carried out all the same.
        waiting = (await self.send("GET", "/api/v1/issues?status=pending", None, self.person))[1]["items"]
        for issue in waiting:
            await self.send("POST", f"/api/v1/issues/{issue['id']}/cancel", None, self.person)

    async def take_issue(self) -> tuple[str, str]:
        issue = (await self.send("POST", "/api/v1/issues", {"title": "Fix it"}, self.person))[1]
        claim = {"claim_id": str(uuid4()), "boot_id": "boot", "max": 1}
        offers = (await self.send("POST", "/api/v1/nodes/claim", claim, self.node))[1]["attempts"]
        attempt_id = offers[0]["attempt_id"]
        assert (await self.send("POST", f"/api/v1/attempts/{attempt_id}/start", None, self.node))[0] == 200
        assert offers[0]["issue"]["id"] == issue["id"]
        self.held.append(attempt_id)
        return issue["id"], attempt_id

    async def finish(self, attempt_id: str):
        report = {"result": "succeeded", "next_seq": 0}
        answer = await self.send("POST", f"/api/v1/attempts/{attempt_id}/finish", report, self.node)
        if answer[0] == 200:
            self.held.remove(attempt_id)
        return answer

    async def beat(self):
        held = [{"attempt_id": each, "state": "running"} for each in self.held]
        body = {"boot_id": "boot", "free_slots": 1, "attempts": held}
        return await self.send("POST", "/api/v1/nodes/heartbeat", body, self.node)

    async def status_of(self, issue_id: str) -> str:
        return (await self.send("GET", f"/api/v1/issues/{issue_id}", None, self.person))[1]["status"]

    async def until_back(self) -> float:
        """How long until the first success, in seconds."""
        started = time.monotonic()
        while (await self.beat())[0] != 200:
            assert time.monotonic() - started < 20
            await asyncio.sleep(0.05)
        return time.monotonic() - started


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Postgres, Server]]:
    folder = tmp_path_factory.mktemp("outage")
    postgres = Postgres(folder)
    server = Server(folder, postgres.url, **FAST)
    try:
        await postgres.create()
        await server.start(migrate=True)
        yield postgres, server
    finally:
        if server.is_running:
            server.kill()
        postgres.stop()


@pytest.fixture
async def postgres(installation: tuple[Postgres, Server]) -> Postgres:
    return installation[0]


@pytest.fixture
async def server(installation: tuple[Postgres, Server]) -> Server:
    return installation[1]


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        caller = Caller(http, server.url)
        await caller.prepare()
        yield caller


async def require_outage(caller: Caller, within_s: float) -> None:
    asked = [
        caller.beat(),
        caller.send("GET", "/api/v1/issues", None, caller.person),
        caller.send("POST", "/api/v1/issues", {"title": "Never stored"}, caller.person),
        caller.send("POST", f"/api/v1/attempts/{uuid4()}/start", None, caller.node),
        caller.send("POST", f"/api/v1/attempts/{uuid4()}/logs", {"first_seq": 0, "entries": []}, caller.node),
        caller.send("POST", "/api/v1/nodes/claim", {"claim_id": str(uuid4()), "boot_id": "boot"}, caller.node),
        caller.send("POST", "/api/v1/auth/login", {"email": ADMIN[0], "password": "wrong"}),
    ]
    for status, document, headers, took in await asyncio.gather(*asked):
        assert (status, document["code"]) == (503, "unavailable"), document
        assert int(headers["Retry-After"]) >= 1
        assert took < within_s
    ready = await caller.send("GET", "/readyz")
    assert (ready[0], ready[3] < within_s) == (503, True)
    alive = await caller.send("GET", "/healthz")
    assert (alive[0], alive[3] < 0.5) == (200, True)


async def test_a_killed_database_is_503_within_two_seconds_and_back_within_two(caller: Caller, postgres: Postgres):
    issue_id, attempt_id = await caller.take_issue()
    postgres.kill_postmaster()
    await require_outage(caller, within_s=2)
    await asyncio.sleep(LEASE_S + 1)
    await require_outage(caller, within_s=2)
    await postgres.start()
    assert await caller.until_back() < 2
    # The node was silent for longer than its lease, and yet it was the server that could not hear it.
    for _ in range(6):
        await asyncio.sleep(0.5)
        assert await caller.status_of(issue_id) == "processing"
        assert (await caller.beat())[1]["attempts"][0]["action"] == "continue"
    assert (await caller.finish(attempt_id))[0] == 200


async def test_what_was_acknowledged_survives_the_database_being_killed_at_once(caller: Caller, postgres: Postgres):
    for _ in range(3):
        issue_id, attempt_id = await caller.take_issue()
        entries = [{"step_name": "test", "status": "running", "output": f"line {n}"} for n in range(5)]
        path = f"/api/v1/attempts/{attempt_id}"
        logged = await caller.send("POST", f"{path}/logs", {"first_seq": 0, "entries": entries}, caller.node)
        assert logged[1]["next_seq"] == 5
        assert (await caller.finish(attempt_id))[0] == 200
        postgres.kill_postmaster()
        await postgres.start()
        await caller.until_back()
        # Operators' connections broke too: each says so once.
        while (shown := await caller.send("GET", f"/api/v1/issues/{issue_id}/logs", None, caller.person))[0] == 503:
            await asyncio.sleep(0.05)
        stored = shown[1]["items"]
        assert [entry["output"] for entry in stored] == [f"line {n}" for n in range(5)]
        assert await caller.status_of(issue_id) == "completed"


async def test_a_frozen_database_hangs_nobody_and_nobody_loses_work_to_it(caller: Caller, postgres: Postgres):
    issue_id, attempt_id = await caller.take_issue()
    stopped = postgres.freeze()
    try:
        # Nothing refuses these; they find out by the pulse.
        await require_outage(caller, within_s=4)
        await require_outage(caller, within_s=2)
        await asyncio.sleep(LEASE_S)
    finally:
        thaw(stopped)
    assert await caller.until_back() < 2
    for _ in range(6):
        await asyncio.sleep(0.5)
        assert await caller.status_of(issue_id) == "processing"
        await caller.beat()
    assert (await caller.finish(attempt_id))[0] == 200


async def test_a_stopped_server_takes_nobodys_work_when_it_goes_on(caller: Caller, server: Server):
    issue_id, attempt_id = await caller.take_issue()
    for process in server.processes():
        process.suspend()
    await asyncio.sleep(LEASE_S + 2)
    thaw(server.processes())
    for _ in range(6):
        assert await caller.status_of(issue_id) == "processing"
        await asyncio.sleep(0.5)
    assert (await caller.beat())[1]["attempts"][0]["action"] == "continue"
    assert (await caller.finish(attempt_id))[0] == 200


async def test_heartbeats_and_results_pass_while_slow_lists_hold_every_connection_of_operators(
    caller: Caller, postgres: Postgres
):
    _, attempt_id = await caller.take_issue()
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("BEGIN")
    await connection.execute("LOCK TABLE prompt IN ACCESS EXCLUSIVE MODE")
    lists = [asyncio.ensure_future(caller.send("GET", "/api/v1/prompts", None, caller.person)) for _ in range(30)]
    await asyncio.sleep(0.5)
    for _ in range(3):
        status, _, _, took = await caller.beat()
        assert (status, took < 1) == (200, True)
    spent = {"usage": [{"provider": "anthropic", "model": "m", "input_tokens": 1}]}
    assert (await caller.send("PUT", f"/api/v1/attempts/{attempt_id}/usage", spent, caller.node))[0] == 200
    assert (await caller.finish(attempt_id))[0] == 200
    turned_away = await caller.send("GET", "/api/v1/projects", None, caller.person)
    assert (turned_away[0], turned_away[3] < 3) == (503, True)
    await connection.close()
    statuses = [status for status, *_ in await asyncio.gather(*lists)]
    assert set(statuses) == {200, 503}


async def test_a_transaction_that_idles_on_a_row_delays_its_writers_and_no_others(caller: Caller, postgres: Postgres):
    _, attempt_id = await caller.take_issue()
    _, other_id = await caller.take_issue()
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("BEGIN")
    await connection.execute("SELECT 1 FROM attempt WHERE id = $1 FOR UPDATE", attempt_id)
    held_up = asyncio.ensure_future(caller.finish(attempt_id))
    other = await caller.finish(other_id)
    assert (other[0], other[3] < 1) == (200, True)
    # The lock timeout answers; the same report again is accepted once the row is free.
    assert (await held_up)[0] == 503
    await connection.close()
    assert (await caller.finish(attempt_id))[0] == 200


async def test_one_flooding_node_is_told_to_wait_and_others_are_not(caller: Caller):
    machine = {"name": "flood", "machine_id": "machine-flood", "boot_id": "boot", "version": "1"}
    flood = (await caller.send("POST", "/api/v1/nodes/register", machine, REGISTRATION_KEY))[1]["node_token"]

    async def claim():
        body = {"claim_id": str(uuid4()), "boot_id": "boot", "max": 1}
        return await caller.send("POST", "/api/v1/nodes/claim?wait=5", body, flood)

    flooding = [asyncio.ensure_future(claim()) for _ in range(1000)]
    await asyncio.sleep(0.5)
    took = [(await caller.beat())[3] for _ in range(5)]
    assert sorted(took)[2] < 1
    answers = await asyncio.gather(*flooding)
    refused = [headers for status, _, headers, _ in answers if status == 429]
    assert len(refused) >= 500
    assert all(int(headers["Retry-After"]) >= 1 for headers in refused)
    assert {status for status, *_ in answers} == {204, 429}


async def require_a_calm_end(server: Server) -> None:
    """By itself: the parent kills a worker that needs longer, with whatever it does then."""
    server.log.write_text("")
    try:
        took = await server.terminate()
        assert took < 5
        assert "refused to gracefully stop" not in server.log.read_text()
    except AssertionError:
        await server.start()
        raise


async def test_sigterm_answers_polls_and_is_gone_within_five_seconds(caller: Caller, server: Server):
    body = {"claim_id": str(uuid4()), "boot_id": "boot", "max": 1}
    poll = asyncio.ensure_future(caller.send("POST", "/api/v1/nodes/claim?wait=60", body, caller.node))
    stream = await caller.http.get(f"{server.url}/api/v1/events", headers={"Authorization": f"Bearer {caller.person}"})
    await asyncio.sleep(0.5)
    await require_a_calm_end(server)
    assert (await poll)[0] == 204
    stream.close()
    await server.start()


async def test_sigterm_waits_for_no_row_that_somebody_holds(caller: Caller, server: Server, postgres: Postgres):
    _, attempt_id = await caller.take_issue()
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("BEGIN")
    await connection.execute("LOCK TABLE issue, prompt, attempt IN ACCESS EXCLUSIVE MODE")
    claim = {"claim_id": str(uuid4()), "boot_id": "boot", "max": 1}
    held_up = [
        caller.send("GET", "/api/v1/prompts", None, caller.person),
        caller.send("POST", f"/api/v1/attempts/{attempt_id}/logs", {"first_seq": 0, "entries": []}, caller.node),
        caller.send("POST", "/api/v1/nodes/claim?wait=30", claim, caller.node),
        caller.finish(attempt_id),
    ]
    asked = [asyncio.ensure_future(each) for each in held_up]
    await asyncio.sleep(0.5)
    await require_a_calm_end(server)
    for status, document, headers, _ in await asyncio.gather(*asked):
        assert (status, document["code"], "Retry-After" in headers) == (503, "unavailable", True)
    await connection.close()
    await server.start()
    assert (await caller.finish(attempt_id))[0] == 200


@pytest.mark.parametrize("sent", ["", "{head}", "{head}{{"])
async def test_sigterm_waits_for_nobody_who_is_slow_to_ask(caller: Caller, server: Server, sent: str):
    head = (
        f"POST /api/v1/nodes/heartbeat HTTP/1.1\r\nHost: server\r\nAuthorization: Bearer {caller.node}\r\n"
        "Content-Type: application/json\r\nContent-Length: 40\r\n\r\n"
    )
    slow = [await asyncio.open_connection("127.0.0.1", URL(server.url).port) for _ in range(3)]
    for _, writer in slow:
        writer.write(sent.format(head=head).encode())
        await writer.drain()
    await asyncio.sleep(0.5)
    try:
        await require_a_calm_end(server)
    finally:
        for _, writer in slow:
            writer.close()
            await writer.wait_closed()
    await server.start()


@pytest.mark.parametrize("sent", ["GET /schema", "GET /schema/openapi.json HTTP/1.1\r\nHost: server\r\n\r\n" * 40])
async def test_no_client_keeps_a_server_that_was_told_to_stop(server: Server, sent: str):
    """Half a head, and answers that nobody reads: only the worker's end ends these."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", URL(server.url).port))
        client.sendall(sent.encode())
        await asyncio.sleep(0.5)
        took = await server.terminate()
    await server.start()
    assert took < 5


async def test_sigterm_while_the_database_is_frozen_is_obeyed_within_five_seconds(
    caller: Caller, server: Server, postgres: Postgres
):
    lists = [caller.send("GET", "/api/v1/issues", None, caller.person) for _ in range(20)]
    assert {status for status, *_ in await asyncio.gather(*lists)} == {200}
    stopped = postgres.freeze()
    try:
        under_way = [asyncio.ensure_future(caller.send("GET", "/api/v1/nodes", None, caller.person)) for _ in range(3)]
        await asyncio.sleep(0.2)
        await require_a_calm_end(server)
        for answer in await asyncio.gather(*under_way):
            assert answer[0] == 503
    finally:
        thaw(stopped)
    await server.start()
