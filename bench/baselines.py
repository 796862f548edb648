"""What PostgreSQL does on the same tables when pgbench sends the bare statements, prepared, each its own commit."""

import re
import subprocess
import tempfile
from dataclasses import dataclass

from bench import machine

# The head of one lane, as the claim of the server takes it, without asking whether the node may have it.
CLAIM = """
WITH head AS MATERIALIZED (
    SELECT id FROM issue WHERE status = 'pending' AND NOT deferred AND lane = :lane
    ORDER BY rank DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE issue SET status = 'processing', attempt_count = attempt_count + 1, last_number = last_number + 1,
    assigned_node_id = CAST(:node AS uuid), updated_at = clock_timestamp()
FROM head WHERE issue.id = head.id RETURNING issue.id;
"""
BEAT = """
\\set n random(1, :nodes)
UPDATE node SET last_heartbeat = clock_timestamp(), status = 'online' WHERE id = md5('node' || :n)::uuid;
"""
LOG = """
\\set n :client_id + 1
INSERT INTO workflowlog (id, issue_id, attempt_id, node_id, seq, step_name, status, output)
VALUES (uuidv7(), md5('issue' || :n)::uuid, md5('attempt' || :n)::uuid, md5('node' || :n)::uuid, nextval('bench_seq'),
        'ai_coding', 'running', repeat('x', 200));
"""
_OFFER = "repeat('x', 1000)"
# The whole cycle as bare statements, each a commit: claim, start, five log batches of ten rows, finish.
CYCLE = f"""
WITH head AS MATERIALIZED (
    SELECT id FROM issue WHERE status = 'pending' AND NOT deferred AND lane = :lane
    ORDER BY rank DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE issue SET status = 'processing', attempt_count = attempt_count + 1, last_number = last_number + 1,
        assigned_node_id = CAST(:node AS uuid), updated_at = clock_timestamp()
    FROM head WHERE issue.id = head.id RETURNING issue.id)
INSERT INTO attempt (id, issue_id, node_id, node_name, number, branch, claim_id, offer, start_by)
SELECT uuidv7(), id, CAST(:node AS uuid), 'node', 1, 'b', gen_random_uuid(), {_OFFER}, clock_timestamp() FROM claimed
RETURNING id AS attempt_id, issue_id \\gset
WITH started AS (
    UPDATE attempt SET status = 'running', started_at = clock_timestamp()
    WHERE id = CAST(:attempt_id AS uuid) AND status = 'offered' RETURNING issue_id)
UPDATE issue SET started_at = clock_timestamp() FROM started WHERE id = started.issue_id;
{{batches}}
WITH ended AS (
    UPDATE attempt SET status = 'succeeded', finished_at = clock_timestamp()
    WHERE id = CAST(:attempt_id AS uuid) AND status = 'running' RETURNING issue_id)
UPDATE issue SET status = 'pending_merge', completed_at = clock_timestamp(), result_branch = 'b'
FROM ended WHERE id = ended.issue_id;
"""
_BATCH = """
WITH batch AS (
    INSERT INTO workflowlog (id, issue_id, attempt_id, node_id, seq, step_name, status, output)
    SELECT uuidv7(), CAST(:issue_id AS uuid), CAST(:attempt_id AS uuid), CAST(:node AS uuid), {first} + n,
        'ai_coding', 'running', repeat('x', 200)
    FROM generate_series(0, 9) AS n)
UPDATE attempt SET next_seq = {first} + 10 WHERE id = CAST(:attempt_id AS uuid);
"""


def cycle() -> str:
    return CYCLE.format(batches="".join(_BATCH.format(first=first) for first in range(0, 50, 10)))


@dataclass(frozen=True, slots=True)
class Rate:
    per_s: float
    database_us: float
    """CPU of PostgreSQL for one transaction, in microseconds."""


def run(url: str, script: str, clients: int, seconds: float, **variables: object) -> Rate:
    """Transactions a second of `script` on the database of `url`."""
    with tempfile.NamedTemporaryFile("w", prefix="bench-") as file:
        file.write(script.lstrip())
        file.flush()
        options = [part for name, value in variables.items() for part in ("-D", f"{name}={value}")]
        command = [machine.PG_BIN / "pgbench", "-n", "-M", "prepared", "-c", clients, "-j", 1, "-f", file.name]
        meter = machine.Meter({"database": machine.postmaster(url)})
        meter.start()
        done = subprocess.run(
            [*map(str, command), "-T", str(int(seconds)), *options],
            env=machine.pg_environment(url), capture_output=True, text=True, check=False,
        )  # fmt: skip
        meter.stop()
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    transactions = int(_figure(r"actually processed: (\d+)", done.stdout))
    return Rate(_figure(r"tps = ([\d.]+)", done.stdout), meter.used["database"] / max(1, transactions) * 1e6)


def _figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found.group(1))
