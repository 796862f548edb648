"""What the counters of issues cost a claim: `python -m bench.counters postgresql://…/empty_database`.

Claims go through the whole application, in this process. Rounds with and without the trigger take turns, and what is
compared is the processor time of the database's own processes, which other work on the machine falsifies least.
"""

import asyncio
import statistics
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import asyncpg
import httpx2

from app import logs
from app.asgi import create_app
from app.db import migrate
from app.settings import Settings

KEY = "registration-key-of-the-bench"
ADMIN = ("admin@example.com", "correct horse battery staple")
ROUNDS = 12
FLUSHES = 40
SEED = """
SET session_replication_role = replica;
INSERT INTO issue (id, title, rank, owner_id)
SELECT gen_random_uuid(), 'Issue ' || n, -n, (SELECT id FROM "user") FROM generate_series(1, $1) AS n;
"""


async def main(url: str) -> None:
    await migrate.upgrade(url)
    settings = Settings(
        database_url=url,
        home=Path(mkdtemp()),
        secret_keys=("bench",),
        registration_key=KEY,
        admin_email=ADMIN[0],
        admin_password=ADMIN[1],
        log_level="error",
        heartbeat_interval=timedelta(hours=1),
        start_within=timedelta(hours=1),
    )
    logs.configure(settings)
    app = create_app(settings)
    transport = httpx2.ASGITransport(app=app)
    async with app.lifespan(), httpx2.AsyncClient(transport=transport, base_url="http://bench/api/v1") as client:
        sql = await asyncpg.connect(url)
        for at_once in (1, 16):
            await sql.execute(SEED.replace("$1", str(2 * ROUNDS * FLUSHES * at_once)))
            await sql.execute("RESET session_replication_role")
            await sql.execute("VACUUM ANALYZE issue")
            tokens = [await register(client, f"{at_once}-{n}") for n in range(at_once)]
            await rounds(client, sql, tokens)
        await sql.close()


async def rounds(client: httpx2.AsyncClient, sql: asyncpg.Connection, tokens: list[str]) -> None:
    spent: dict[str, list[float]] = {"ENABLE": [], "DISABLE": []}
    for _ in range(ROUNDS):
        for word, found in spent.items():
            await sql.execute(f"ALTER TABLE issue {word} TRIGGER tally_update")
            before = await processor_s(sql)
            for _ in range(FLUSHES):
                await asyncio.gather(*(claim(client, token) for token in tokens))
            found.append((await processor_s(sql) - before) * 1e6 / (FLUSHES * len(tokens)))
    await sql.execute("ALTER TABLE issue ENABLE TRIGGER tally_update")
    counted, bare = (statistics.median(found) for found in spent.values())
    print(f"{len(tokens):3d} at once: {counted:.0f} µs of database CPU a claim, {bare:.0f} without the counter")


async def register(client: httpx2.AsyncClient, name: str) -> str:
    body = {"name": name, "machine_id": f"machine-{name}", "boot_id": "b", "version": "1", "max_slots": 1000}
    answer = await client.post("/nodes/register", json=body, headers={"Authorization": f"Bearer {KEY}"})
    return answer.json()["node_token"]


async def claim(client: httpx2.AsyncClient, token: str) -> None:
    body = {"claim_id": str(uuid4()), "boot_id": "b", "max": 1}
    answer = await client.post("/nodes/claim", json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text


async def processor_s(sql: asyncpg.Connection) -> float:
    """Of all processes that serve this database."""
    rows = await sql.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in rows) / 1e9


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
