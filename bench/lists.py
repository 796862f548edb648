"""How long each list and the statistics take over 100 000 rows: `python -m bench.lists postgresql://…/empty_database`.

Prints the median and the slowest of some calls, in milliseconds of server and database together, without a network.
With `--million` the database gets a million issues, ten thousand of them worked on, and only what has no search is
asked. Whoever reads the figures looks at the load first, which is printed too.
"""

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

import asyncpg
import httpx2

from app import logs
from app.asgi import create_app
from app.db import migrate
from app.settings import Settings

ROWS = 100_000
ADMIN = ("admin@example.com", "correct horse battery staple")
CALLS = 15
LISTS = (
    "/issues",
    "/issues?status=pending",
    "/issues?status=failed",
    "/issues?status=processing",
    "/issues?status=failed&status=cancelled",
    "/issues?sort=priority",
    "/issues?sort=priority&status=pending",
    "/issues?q=checkout",
    "/issues?q=Issue 99999",
    "/issues?q=缓存",
    "/issues?q=issue",
    "/projects",
    "/projects?q=99",
    "/nodes",
    "/nodes?status=online",
    "/nodes?desired=paused",
    "/nodes?q=node 99",
    "/audit",
    "/audit?action=issue.create",
    "/audit?q=login",
    "/dashboard/stats",
)
MILLION = tuple(path for path in LISTS if path.startswith(("/issues", "/dashboard")) and "q=" not in path)
# Triggers are off, since what they keep for searches takes a million issues ten minutes; the counters are made by hand.
SEED_MILLION = f"""
SET session_replication_role = replica;
INSERT INTO "user" (id, email, hashed_password) SELECT gen_random_uuid(), 'u' || n || '@example.com', 'x'
FROM generate_series(1, 4) AS n;
INSERT INTO issue (id, title, description, status, rank, priority, owner_id, created_at, completed_at)
SELECT gen_random_uuid(), 'Issue ' || n, 'The ' || md5(n::text) || ' page fails. Please fix it.',
    CASE WHEN n % 100 = 0 THEN 'processing'
        ELSE (ARRAY['pending', 'completed', 'failed', 'merged', 'pending_merge', 'cancelled'])[1 + n % 6] END,
    -n, n % 4, (SELECT id FROM "user" ORDER BY email OFFSET n % 5 LIMIT 1), now() - n * interval '1 s', now()
FROM generate_series(1, 1000000) AS n;
INSERT INTO node (id, name, machine_id, owner_id, status, last_heartbeat)
SELECT gen_random_uuid(), 'node ' || n, 'machine ' || n, (SELECT id FROM "user" WHERE is_superuser), 'online',
    now() + interval '1 hour'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO attempt (id, issue_id, node_id, node_name, number, status, branch, claim_id, offer, start_by, started_at)
SELECT gen_random_uuid(), issue.id, node.id, node.name, 1, 'running', 'b', gen_random_uuid(), '{{}}', now(), now()
FROM (SELECT id, row_number() OVER () AS n FROM issue WHERE status = 'processing') AS issue
JOIN (SELECT id, name, row_number() OVER () AS n FROM node) AS node USING (n);
INSERT INTO issue_tally SELECT owner_id, status, NULL, count(*) FROM issue GROUP BY 1, 2;
INSERT INTO node_tally SELECT owner_id, status, desired, count(*) FROM node GROUP BY 1, 2, 3;
RESET session_replication_role;
"""
SEED = f"""
INSERT INTO "user" (id, email, hashed_password) SELECT gen_random_uuid(), 'u' || n || '@example.com', 'x'
FROM generate_series(1, 4) AS n;
INSERT INTO issue (id, title, description, status, rank, priority, owner_id, created_at, completed_at)
SELECT gen_random_uuid(),
    'Issue ' || n || ' about ' || (ARRAY['login', 'checkout', '缓存 修复', 'payments', 'search'])[1 + n % 5],
    'The ' || md5(n::text) || ' page fails when ' || md5((n * 7)::text) || ' is given. Please fix it.',
    (ARRAY['pending', 'completed', 'failed', 'merged', 'pending_merge', 'cancelled'])[1 + n % 6],
    -n, n % 4, (SELECT id FROM "user" ORDER BY email OFFSET n % 5 LIMIT 1), now() - n * interval '1 minute', now()
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO project (id, name, owner_id, created_at)
SELECT gen_random_uuid(), 'project ' || n, (SELECT id FROM "user" WHERE is_superuser), now() - n * interval '1 minute'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO node (id, name, machine_id, owner_id, status, created_at)
SELECT gen_random_uuid(), 'node ' || n, 'machine ' || n, (SELECT id FROM "user" WHERE is_superuser),
    (ARRAY['online', 'offline'])[1 + n % 2], now() - n * interval '1 minute'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO audit_event (id, at, actor_kind, action, object_type)
SELECT gen_random_uuid(), now() - n * interval '1 s', 'user', (ARRAY['issue.create', 'login'])[1 + n % 2], 'issue'
FROM generate_series(1, {ROWS}) AS n;
"""


async def main(url: str, *, million: bool) -> None:
    await migrate.upgrade(url)
    settings = Settings(
        database_url=url,
        home=Path(mkdtemp()),
        secret_keys=("bench",),
        admin_email=ADMIN[0],
        admin_password=ADMIN[1],
        log_level="error",
    )
    logs.configure(settings)
    app = create_app(settings)
    async with (
        app.lifespan(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url="http://bench/api/v1", timeout=60
        ) as client,
    ):
        answer = await client.post("/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]})
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        client.cookies.clear()
        await seed(url, SEED_MILLION if million else SEED)
        print(f"load {os.getloadavg()[0]:.1f}")
        for path in MILLION if million else LISTS:
            print(f"{await median(client, path)}  {path}", flush=True)


async def seed(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    if await connection.fetchval("SELECT count(*) FROM issue") == 0:
        await connection.execute(statements)
        await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def median(client: httpx2.AsyncClient, path: str) -> str:
    times: list[float] = []
    for _ in range(CALLS):
        started = time.perf_counter()
        answer = await client.get(path)
        times.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, answer.text
    return f"{statistics.median(times):7.1f} {max(times):7.1f}"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], million="--million" in sys.argv))
