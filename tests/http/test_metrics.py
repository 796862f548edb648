"""/metrics: what was answered, by route; what the queue and the fleet look like."""

import re

import httpx2
from speaking import MakeNode, Queue


def value(text: str, series: str) -> float:
    """A counter that nothing has counted yet is not shown."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


async def test_requests_are_counted_by_route(anyone: httpx2.AsyncClient, queue: Queue, make_node: MakeNode):
    node = await make_node(max_slots=4)
    for _ in range(2):
        await queue.add()
    # Counters live as long as the process, which may have run other tests before.
    before = (await anyone.get("/metrics")).text
    offer = await node.take()
    await node.log(offer["attempt_id"], 0, "one")
    await node.start(offer["attempt_id"])
    await anyone.get("/nowhere/at/all")
    after = (await anyone.get("/metrics")).text

    def counted(series: str) -> float:
        return value(after, series) - value(before, series)

    for route in ("nodes/claim", "attempts/{attempt_id}/logs", "attempts/{attempt_id}/start"):
        assert counted(f'nodeyard_http_requests_total{{method="POST",route="/api/v1/{route}",status="200"}}') == 1
    assert counted('nodeyard_http_requests_total{method="GET",route="none",status="404"}') == 1
    assert offer["attempt_id"] not in after
    assert counted('nodeyard_batch_size_count{batch="claims"}') == 1
    assert counted('nodeyard_batch_wait_seconds_count{batch="logs"}') == 1


async def test_the_queue_and_the_fleet_are_shown(anyone: httpx2.AsyncClient, queue: Queue, make_node: MakeNode):
    node = await make_node()
    for _ in range(3):
        await queue.add()
    await node.take()
    text = (await anyone.get("/metrics")).text
    assert value(text, 'nodeyard_issues{status="pending"}') == 2
    assert value(text, 'nodeyard_issues{status="processing"}') == 1
    assert value(text, 'nodeyard_attempts_live{status="offered"}') == 1
    assert value(text, 'nodeyard_nodes{status="online"}') == 1
    assert value(text, 'nodeyard_database_up{database="main"}') == 1
