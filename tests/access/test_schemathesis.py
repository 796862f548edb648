"""Schemathesis on every route, as a superuser and as a node: no 500, nothing undocumented, nothing refused let in."""

import asyncio
import sys
from pathlib import Path

import pytest

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
# They never end, end the caller's own session, or wait for work.
LEFT_OUT = ("stream_events", "stream_logs", "log_out", "change_password", "claim", "deregister_node")


async def node_token(server):
    body = {"name": "fuzzed", "machine_id": "machine-fuzzed", "boot_id": "b", "version": "1"}
    async with server.client("registration-key-of-the-tests") as client:
        return (await client.post("/nodes/register", json=body)).json()["node_token"]


@pytest.mark.parametrize("caller", ["superuser", "node"])
async def test_no_input_gets_anything_but_a_documented_answer(server, tmp_path, caller):
    token = server.token if caller == "superuser" else await node_token(server)
    only = ["--exclude-tag" if caller == "superuser" else "--include-tag", "nodes' protocol"]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{server.base}/schema/openapi.json",
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "1"),
        *("--suppress-health-check", "all", "--warnings", "off", "--no-shrink", "--continue-on-failure"),
        *only,
        *(word for name in LEFT_OUT for word in ("--exclude-operation-id", name)),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-20_000:]
