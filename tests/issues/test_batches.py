"""Group commit is exact: under many claimers, callers that go away, statements that fail, several processes."""

import asyncio
import random
from uuid import uuid4

import asyncpg
import pytest
from conftest import running_app
from litestar import Litestar
from speaking import MakeNode, NodeClient, Queue, until_somebody_waits

from app.domain.issues import claim, offers
from app.settings import Settings


async def all_claimed(node: NodeClient) -> list[str]:
    """Claims until nothing is left, and gives the ids of the issues."""
    mine: list[str] = []
    while True:
        answer = await node.claim()
        if answer.status_code != 200:
            assert answer.status_code == 204, answer.text
            return mine
        mine += [offer["issue"]["id"] for offer in answer.json()["attempts"]]


async def test_thirty_claimers_get_every_issue_once(queue: Queue, make_node: MakeNode):
    issues = {await queue.add(f"issue {n}") for n in range(120)}
    nodes = [await make_node(f"node-{n}", max_slots=100) for n in range(30)]
    claimed = [each for mine in await asyncio.gather(*map(all_claimed, nodes)) for each in mine]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == issues


async def test_claims_of_callers_that_go_away_are_neither_lost_nor_doubled(queue: Queue, make_node: MakeNode):
    """A node whose request was cut off sends it again, and gets what the first one was given."""
    dice = random.Random(7)
    issues = {await queue.add(f"issue {n}") for n in range(60)}
    nodes = [await make_node(f"node-{n}", max_slots=2) for n in range(30)]
    got: list[str] = []

    async def claim_twice(node: NodeClient) -> None:
        claim_id = str(uuid4())
        asked = asyncio.create_task(node.claim(claim_id=claim_id, max=2))
        await asyncio.sleep(dice.random() * 0.05)
        if dice.random() < 0.6:
            asked.cancel()
        await asyncio.wait([asked])
        again = await node.claim(claim_id=claim_id, max=2)
        got.extend(offer["issue"]["id"] for offer in again.json()["attempts"])

    await asyncio.gather(*map(claim_twice, nodes))
    assert len(got) == len(set(got)) == 60
    assert set(got) == issues
    assert await queue.sql.fetchval("SELECT count(*) FROM attempt") == 60


async def test_claims_that_wait_for_another_server_hold_up_only_themselves(
    app: Litestar, queue: Queue, make_node: MakeNode
):
    """A second flush goes beside the first once enough slots wait."""
    for n in range(11):
        await queue.add(f"issue {n}")
    nodes = [await make_node(f"node-{n}", max_slots=4) for n in range(11)]
    token_hash = await queue.sql.fetchval("SELECT token_hash FROM node WHERE name = 'node-0'")
    async with queue.sql.transaction():
        await queue.sql.execute(
            "SELECT pg_advisory_xact_lock($1, $2)", offers.ADVISORY_CLASS, claim.lock_key(token_hash)
        )
        held_up = asyncio.create_task(nodes[0].claim())
        await until_somebody_waits(queue.sql)
        answers = await asyncio.gather(*(node.claim(max=4) for node in nodes[1:]))
        assert sum(len(answer.json()["attempts"]) for answer in answers if answer.status_code == 200) >= 10
        assert not held_up.done()
    assert (await held_up).status_code in {200, 204}
    assert await queue.sql.fetchval("SELECT count(*) = count(DISTINCT issue_id) FROM attempt")


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def test_a_log_batch_that_the_database_refuses_fails_alone(queue: Queue, make_node: MakeNode):
    await queue.sql.execute(
        REFUSE.format(
            table="workflowlog",
            body="IF NEW.output = 'poison' THEN RAISE EXCEPTION 'poison' USING ERRCODE = 'data_exception'; END IF;",
        )
    )
    node = await make_node(max_slots=30)
    for _ in range(30):
        await queue.add()
    offers = (await node.claim(max=30)).json()["attempts"]
    outputs = ["poison" if n % 7 == 3 else "fine" for n in range(30)]
    answers = await asyncio.gather(
        *(node.log(offer["attempt_id"], 0, output) for offer, output in zip(offers, outputs, strict=True))
    )
    assert [answer.status_code for answer in answers] == [500 if output == "poison" else 200 for output in outputs]
    stored = await queue.sql.fetchval("SELECT count(*) FROM workflowlog WHERE output = 'fine'")
    assert stored == outputs.count("fine")


async def test_a_claim_that_the_database_refuses_fails_alone_and_claims_nothing(queue: Queue, make_node: MakeNode):
    await queue.sql.execute(
        REFUSE.format(
            table="attempt",
            body="IF NEW.node_name = 'node-5' THEN RAISE EXCEPTION 'no' USING ERRCODE = 'data_exception'; END IF;",
        )
    )
    for n in range(40):
        await queue.add(f"issue {n}")
    nodes = [await make_node(f"node-{n}") for n in range(30)]
    answers = await asyncio.gather(*(node.claim() for node in nodes))
    assert [answer.status_code for answer in answers] == [500 if n == 5 else 200 for n in range(30)]
    assert await queue.sql.fetchval("SELECT count(*) FROM issue WHERE status = 'processing'") == 29
    assert await queue.sql.fetchval("SELECT count(*) FROM attempt") == 29


@pytest.mark.parametrize("capped", ["project", "repository"])
async def test_caps_hold_with_several_processes(
    app: Litestar, settings: Settings, queue: Queue, make_node: MakeNode, capped: str
):
    cap_id = uuid4()
    url = ", url" if capped == "repository" else ""
    value = ", 'https://example.com/shop.git'" if capped == "repository" else ""
    await queue.sql.execute(
        f"INSERT INTO {capped} (id, name, owner_id, max_running{url}) VALUES ($1, 'capped', $2, 3{value})",
        cap_id,
        queue.owner_id,
    )
    for n in range(40):
        await queue.add(f"issue {n}", **{f"{capped}_id": cap_id})
    nodes = [await make_node(f"node-{n}") for n in range(20)]
    async with running_app(settings) as other:
        mine = [node.at(other) if n % 2 else node for n, node in enumerate(nodes)]
        answers = await asyncio.gather(*(node.claim() for node in mine))
        given = [offer for a in answers if a.status_code == 200 for offer in a.json()["attempts"]]
        assert len(given) == 3
        assert await _most_at_once(queue.sql) <= 3


async def _most_at_once(sql: asyncpg.Connection) -> int:
    return await sql.fetchval("SELECT count(*) FROM issue WHERE status = 'processing'")
