"""What cannot be said through an HTTP client: broken framing, bodies that never end, connections that say nothing."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import pytest
from chaos.cluster import REGISTRATION_KEY, Postgres, Server

HALF_OPEN = 2_000


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("wire")
    postgres = Postgres(folder)
    server = Server(folder, postgres.url)
    try:
        await postgres.create()
        await server.start(migrate=True)
        yield server
    finally:
        if server.is_running:
            server.kill()
        postgres.stop()


async def said(server: Server, request: bytes, within_s: float = 30) -> bytes:
    """What the server answers to these bytes; empty when it just hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        await writer.drain()
        return await asyncio.wait_for(reader.read(65_536), within_s)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


REGISTER = "/api/v1/nodes/register"
JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(REGISTER, b"{}", JSON, "Content-Length: 2", "Content-Length: 50"),
        post(REGISTER, b"{}", JSON, "Content-Length: 2", "Transfer-Encoding: chunked"),
        post(REGISTER, b"{}", JSON, "Content-Length: -1"),
        post(REGISTER, b"{}", JSON, "Content-Length: 99999999999999999999999"),
        post(REGISTER, b"zz\r\n{}\r\n0\r\n\r\n", JSON, "Transfer-Encoding: chunked"),
        post(REGISTER, b"{}", JSON, "Content-Length: 2", "X: a\r\nb: \x00"),
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"\r\n" * 1000,
    ],
)
async def test_broken_framing_is_refused(server: Server, request_bytes: bytes):
    answer = await said(server, request_bytes)
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:300]
    assert b" 200 " not in answer[:20]
    assert (await said(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_body_larger_than_allowed_is_refused_while_it_is_read(server: Server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(REGISTER, b"", JSON, f"Authorization: Bearer {REGISTRATION_KEY}", "Transfer-Encoding: chunked"))
    sent = 0
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    with suppress(ConnectionError, TimeoutError):
        while sent < 64 * 1024 * 1024 and not reader._buffer:  # type: ignore[attr-defined]
            writer.write(chunk)
            await asyncio.wait_for(writer.drain(), 1)
            sent += 0x10000
    answer = b""
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(200), 10)
    writer.transport.abort()
    assert answer == b"" or b" 413 " in answer, answer
    assert sent < 16 * 1024 * 1024


async def test_a_body_at_a_byte_a_second_ends_in_408_and_holds_nobody_up(server: Server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    started = time.monotonic()
    writer.write(post(REGISTER, b"", JSON, f"Authorization: Bearer {REGISTRATION_KEY}", "Content-Length: 1000"))
    answer = b""
    while not answer and time.monotonic() - started < 40:
        writer.write(b"{")
        try:
            answer = await asyncio.wait_for(reader.read(500), 1)
        except TimeoutError:
            continue
    writer.transport.abort()
    assert b" 408 " in answer[:20], answer
    assert time.monotonic() - started < 30


async def test_thousands_of_half_open_connections_cost_little_and_hold_nobody_up(server: Server):
    before = server.memory_bytes()
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(HALF_OPEN)]
    for _, writer in opened:
        writer.write(b"POST /api/v1/nodes/claim HTTP/1.1\r\nHost: x\r\n")
    started = time.monotonic()
    assert (await said(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - started < 3
    assert server.memory_bytes() - before < 200 * 1024 * 1024
    # Their headers never come, so the server ends them by itself.
    ended = await asyncio.wait_for(asyncio.gather(*(reader.read(1000) for reader, _ in opened[:100])), 30)
    assert len(ended) == 100
    for _, writer in opened:
        writer.transport.abort()


async def registered(server: Server, name: str) -> str:
    """The token of a new node."""
    machine = {"name": name, "machine_id": f"machine-{name}", "boot_id": "boot", "version": "1"}
    body = json.dumps(machine).encode()
    key = f"Authorization: Bearer {REGISTRATION_KEY}"
    answer = await said(server, post(REGISTER, body, JSON, key, f"Content-Length: {len(body)}"))
    return json.loads(answer.partition(b"\r\n\r\n")[2])["node_token"]


@pytest.mark.parametrize("polls", [1_000, pytest.param(10_000, marks=pytest.mark.chaos)])
async def test_thousands_of_waiting_polls_cost_little_memory(server: Server, polls: int):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < polls + 500:
        pytest.skip(f"{polls} connections need a higher limit of open files: ulimit -n")
    tokens = [await registered(server, f"poll-{polls}-{n}") for n in range(polls // 200)]
    before = server.memory_bytes()
    opened = []
    for n in range(polls):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = json.dumps({"claim_id": str(uuid4()), "boot_id": "boot"}).encode()
        token = f"Authorization: Bearer {tokens[n // 200]}"
        writer.write(post("/api/v1/nodes/claim?wait=60", body, JSON, token, f"Content-Length: {len(body)}"))
        opened.append((reader, writer))
    started = time.monotonic()
    assert (await said(server, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
    took = time.monotonic() - started
    await asyncio.sleep(3)
    per_poll = (server.memory_bytes() - before) / polls
    answered = [asyncio.ensure_future(reader.read(100)) for reader, _ in opened]
    assert not (await asyncio.wait(answered, timeout=0.1))[0], "a poll that should wait was answered"
    for _, writer in opened:
        writer.transport.abort()
    await asyncio.wait(answered)
    print(f"{polls} waiting polls: {per_poll / 1024:.1f} KiB each, another call answered in {took:.2f} s")
    assert per_poll < 50 * 1024, f"{per_poll:.0f} bytes for each waiting poll"
    await asyncio.sleep(1)
    assert (await said(server, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")
