import asyncio
import time

import pytest


async def create(server, title, token=None):
    async with server.client(token) as client:
        answer = await client.post("/issues", json={"title": title})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def person(server, email="plain@example.com"):
    """A plain user's token."""
    async with server.client() as client:
        await client.post("/users", json={"email": email, "password": "a good password"})
        answer = await client.post("/auth/login", json={"email": email, "password": "a good password"})
    return answer.json()["token"]


async def node(server, name="builder"):
    body = {"name": name, "machine_id": f"machine-{name}", "boot_id": "b", "version": "1"}
    async with server.client("registration-key-of-the-tests") as client:
        answer = await client.post("/nodes/register", json=body)
    return answer.json()


async def work_on(server, token, *outputs):
    """Claims one issue and logs; gives the client and the attempt's id."""
    client = server.client(token)
    claim = {"claim_id": "0199d9a4-0000-7000-8000-000000000001", "boot_id": "b"}
    answer = await client.post("/nodes/claim", params={"wait": 5}, json=claim)
    attempt_id = answer.json()["attempts"][0]["attempt_id"]
    await client.post(f"/attempts/{attempt_id}/start")
    entries = [{"step_name": "ai_coding", "status": "running", "output": output} for output in outputs]
    answer = await client.post(f"/attempts/{attempt_id}/logs", json={"first_seq": 0, "entries": entries})
    assert answer.status_code == 200, answer.text
    return client, attempt_id


async def test_events_begin_with_hello_and_tell_of_issues_nodes_and_logs(server, listen):
    async with listen(server.base, "/api/v1/events", server.token) as events:
        assert await events.next() == ("hello", {"resumed": False})
        issue = await create(server, "told")
        _, told = await events.next("issue")
        assert (told["id"], told["status"], told["title"]) == (issue["id"], "pending", "told")
        machine = await node(server)
        _, told = await events.next("node")
        assert told["id"] == machine["node_id"]
        client, attempt_id = await work_on(server, machine["node_token"], "hello")
        _, told = await events.next("log")
        assert told == {"issue_id": issue["id"], "attempt_id": attempt_id, "next_seq": 1}
        await client.aclose()
        async with server.client() as operator:
            await operator.delete(f"/issues/{issue['id']}")
        assert await events.next("deleted") == ("deleted", {"type": "issue", "id": issue["id"]})


async def test_a_plain_user_is_told_of_their_own_issues_only(server, listen):
    token = await person(server)
    async with listen(server.base, "/api/v1/events", token) as events:
        await events.next("hello")
        foreign = await create(server, "not theirs")
        async with server.client() as operator:
            await operator.delete(f"/issues/{foreign['id']}")
        own = await create(server, "theirs", token)
        assert (await events.next())[1]["id"] == own["id"]


async def test_events_resume_without_a_gap(server, listen):
    async with listen(server.base, "/api/v1/events", server.token) as events:
        await events.next("hello")
        await create(server, "before the break")
        await events.next("issue")
        last_id = events.last_id
    missed = [await create(server, f"missed {n}") for n in range(3)]
    async with listen(server.base, "/api/v1/events", server.token, last_id) as events:
        assert await events.next() == ("hello", {"resumed": True})
        told = [(await events.next())[1]["id"] for _ in missed]
        assert told == [issue["id"] for issue in missed]


async def test_events_say_so_when_they_cannot_resume(server, listen):
    async with listen(server.base, "/api/v1/events", server.token, "ffffffff-12") as events:
        assert await events.next() == ("hello", {"resumed": False})
        assert (await events.next())[0] == "reset"


async def test_idle_streams_hold_no_connection(server, listen, sql):
    async with listen(server.base, "/api/v1/events", server.token) as events:
        await events.next("hello")
        await create(server, "something")
        await events.next("issue")
        await asyncio.sleep(0.3)
        busy = await sql.fetchval("""
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
        """)
        assert busy == 0


async def test_streams_end_soon_after_sigterm(server, listen):
    issue = await create(server, "goes on")
    async with (
        listen(server.base, "/api/v1/events", server.token) as events,
        listen(server.base, f"/api/v1/issues/{issue['id']}/logs/stream", server.token) as logs,
    ):
        await events.next("hello")
        server.process.terminate()
        started = time.monotonic()
        for stream in (events, logs):
            with pytest.raises(EOFError):
                await stream.next("never")
        assert time.monotonic() - started < 2


async def test_a_deactivated_user_is_cut_off(server, listen):
    token = await person(server)
    async with listen(server.base, "/api/v1/events", token) as events:
        await events.next("hello")
        async with server.client() as operator:
            found = await operator.get("/users", params={"q": "plain@"})
            await operator.patch(f"/users/{found.json()['items'][0]['id']}", json={"is_active": False})
        with pytest.raises(EOFError):
            await events.next("never")


async def test_log_stream_sends_what_is_there_then_what_comes_then_the_end(server, listen):
    issue = await create(server, "logged")
    machine = await node(server)
    client, attempt_id = await work_on(server, machine["node_token"], "first", "second")
    path = f"/api/v1/issues/{issue['id']}/logs/stream"
    async with listen(server.base, path, server.token) as events:
        assert [(await events.next())[1]["output"] for _ in range(2)] == ["first", "second"]
        second = events.last_id
        entry = {"step_name": "ai_coding", "status": "success", "output": "third"}
        await client.post(f"/attempts/{attempt_id}/logs", json={"first_seq": 2, "entries": [entry]})
        name, third = await events.next()
        assert (name, third["output"], third["seq"]) == ("log", "third", 2)
        await client.post(f"/attempts/{attempt_id}/finish", json={"result": "succeeded", "next_seq": 3})
        name, end = await events.next()
        assert (name, end["status"]) == ("end", "completed")
        with pytest.raises(EOFError):
            await events.next()
    async with listen(server.base, path, server.token, second) as events:
        assert (await events.next())[1]["output"] == "third"
        assert (await events.next())[0] == "end"
    async with server.client() as operator:
        raw = await operator.get(f"/issues/{issue['id']}/logs/raw")
    assert raw.headers["content-type"].startswith("text/plain")
    assert [line for line in raw.text.splitlines() if not line.startswith("[")] == ["first", "second", "third"]
    await client.aclose()
