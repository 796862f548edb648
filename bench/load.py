"""The load generator: a process of its own that plays nodes. Reads a job as JSON, prints what it saw as JSON."""

import gc
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from bench import waiting
from bench.http import Tally, closed_loop, request

JSON = dict[str, Any]
Following = Any


def fresh_uuid() -> str:
    h = os.urandom(16).hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:]}"


def claim_request(token: str, at_most: int, wait_s: float = 0) -> bytes:
    body = b'{"claim_id":"%s","boot_id":"boot-1","max":%d}' % (fresh_uuid().encode(), at_most)
    return request("POST", f"/api/v1/nodes/claim?wait={wait_s:g}", token, body)


async def claims(job: JSON) -> JSON:
    """Each request comes from the next node of the fleet, and asks for `max` issues, until `until` are claimed."""
    tally, tokens = Tally(), itertools.cycle(job["tokens"])
    claimed = asked = 0

    def source(_: int) -> Following:
        def following(status: int, body: bytes) -> bytes | None:
            nonlocal claimed, asked
            if status == 200:
                claimed += body.count(b'"attempt_id"')
            if asked >= job["until"]:
                return None
            asked += job["max"]
            return claim_request(next(tokens), job["max"])

        return following

    await closed_loop(job["url"], job["connections"], source, tally)
    return {**tally.summary(), "claimed": claimed}


async def beats(job: JSON) -> JSON:
    """Each request is the heartbeat of the next node, which names its one attempt."""
    prepared = [
        request(
            "POST",
            "/api/v1/nodes/heartbeat",
            token,
            b'{"boot_id":"boot-1","free_slots":7,"attempts":[{"attempt_id":"%s","state":"running"}]}'
            % attempt.encode(),
        )
        for token, attempt in zip(job["tokens"], job["attempts"], strict=True)
    ]
    return await _until_the_deadline(job, itertools.cycle(prepared))


async def _until_the_deadline(job: JSON, requests: Any) -> JSON:
    tally, deadline = Tally(), time.perf_counter() + job["seconds"]

    def source(_: int) -> Following:
        return lambda _status, _body: next(requests) if time.perf_counter() < deadline else None

    await closed_loop(job["url"], job["connections"], source, tally)
    return tally.summary()


def log_batch(first_seq: int, entries: int) -> bytes:
    """Entries of 200 bytes, as an agent sends them. The number is padded, so that the length stays the same."""
    entry = b'{"step_name":"ai_coding","status":"running","output":"%s"}' % (b"x" * 200)
    return b'{"first_seq":%9d,"entries":[%s]}' % (first_seq, b",".join([entry] * entries))


async def logs(job: JSON) -> JSON:
    """Each client streams the log of one attempt, `entries` a request."""
    tally, deadline = Tally(), time.perf_counter() + job["seconds"]
    entries: int = job["entries"]

    def source(n: int) -> Following:
        path, token = f"/api/v1/attempts/{job['attempts'][n]}/logs", job["tokens"][n]
        pattern = request("POST", path, token, log_batch(0, entries)).replace(b"%", b"%%")
        pattern = pattern.replace(b'"first_seq":        0', b'"first_seq":%9d')
        numbers = itertools.count(job.get("first_seq", 0), entries)
        return lambda _status, _body: pattern % next(numbers) if time.perf_counter() < deadline else None

    await closed_loop(job["url"], job["connections"], source, tally)
    return tally.summary()


async def cycles(job: JSON) -> JSON:
    """Each client claims as the next node, starts, sends log batches of ten entries, finishes; `until` times."""
    tally, tokens = Tally(), itertools.cycle(job["tokens"])
    begun = finished = 0
    batches: int = job.get("batches", 5)

    def source(_: int) -> Following:
        nonlocal begun
        steps: Any = iter(())
        token = ""

        def following(status: int, body: bytes) -> bytes | None:
            nonlocal begun, finished, steps, token
            upcoming = next(steps, None)
            if upcoming is not None:
                return upcoming
            if token and body.startswith(b'{"attempts"'):
                attempt = json.loads(body)["attempts"][0]
                steps = work(token, attempt["attempt_id"], attempt["branch"], batches)
                return next(steps)
            finished += status == 200
            if begun >= job["until"]:
                return None
            begun += 1
            token = next(tokens)
            return claim_request(token, 1)

        return following

    await closed_loop(job["url"], job["connections"], source, tally)
    return {**tally.summary(), "cycles": finished}


def work(token: str, attempt_id: str, branch: str, batches: int) -> Any:
    path = f"/api/v1/attempts/{attempt_id}"
    yield request("POST", f"{path}/start", token)
    for batch in range(batches):
        yield request("POST", f"{path}/logs", token, log_batch(batch * 10, 10))
    report = b'{"result":"succeeded","next_seq":%d,"branch":"%s"}' % (batches * 10, branch.encode())
    yield request("POST", f"{path}/finish", token, report)


KINDS = {
    "claims": claims,
    "beats": beats,
    "logs": logs,
    "cycles": cycles,
    "wake_ups": waiting.wake_ups,
    "fleet": waiting.fleet,
}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    gc.disable()
    print(json.dumps(uvloop.run(KINDS[job["kind"]](job))))


if __name__ == "__main__":
    main()
