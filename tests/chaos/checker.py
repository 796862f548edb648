"""Holds the history of the agents against a final read over the API."""

import asyncio
from collections import defaultdict
from typing import Any

from chaos.history import MASK, History, Work
from chaos.operators import Operator

ENDS = {"pending_merge", "merged", "completed", "failed", "cancelled"}
_AT_ONCE = 8


async def check(operator: Operator, history: History) -> None:
    """Adds what is wrong to `history.problems`."""
    issues = {issue["id"]: issue for issue in await _all(operator, "/issues?limit=200")}
    for issue_id in history.deleted & issues.keys():
        history.problem(f"issue {issue_id} was deleted and is there")
    for issue_id in history.created - history.doomed - issues.keys():
        history.problem(f"issue {issue_id} was acknowledged and is gone")
    given: defaultdict[str, list[Work]] = defaultdict(list)
    for work in history.work.values():
        given[work.issue_id].append(work)
    _check_fence(history, given)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(issue: dict[str, Any]) -> None:
        async with gate:
            attempts = await _all(operator, f"/issues/{issue['id']}/attempts?limit=200")
            entries = await _all(operator, f"/issues/{issue['id']}/logs?limit=200") if given[issue["id"]] else []
        _check_issue(history, issue, attempts)
        _check_attempts(history, issue, attempts)
        _check_entries(history, given[issue["id"]], entries)

    await asyncio.gather(*(look(issue) for issue in issues.values()))


async def _all(operator: Operator, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await operator.call("GET", f"{path}{cursor}", tries=50)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"


def _check_fence(history: History, given: dict[str, list[Work]]) -> None:
    """Nothing of an attempt is accepted that was sent after a newer one was in the hands of a node."""
    overtaken: dict[str, float] = {}
    for works in given.values():
        works.sort(key=lambda work: work.number)
        if len({work.number for work in works}) != len(works):
            history.problem(f"two attempts of issue {works[0].issue_id} have the same number")
        for older in works:
            newer = [work.given_at for work in works if work.number > older.number]
            if newer:
                overtaken[older.attempt_id] = min(newer)
    for write in history.accepted:
        if write.sent_at > overtaken.get(write.attempt_id, float("inf")):
            history.problem(f"{write.what} of {write.attempt_id} was accepted after a newer attempt was handed out")
    for work in history.work.values():
        if work.answer is not None and (work.reported_at or 0) > overtaken.get(work.attempt_id, float("inf")):
            history.problem(f"the result of {work.attempt_id} was accepted after a newer attempt was handed out")


def _check_issue(history: History, issue: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    if issue["status"] not in ENDS:
        history.problem(f"issue {issue['id']} is still {issue['status']}: {issue}")
    if issue["attempt_count"] > issue["max_attempts"]:
        history.problem(f"issue {issue['id']} had {issue['attempt_count']} of {issue['max_attempts']} attempts")
    if any(attempt["status"] in {"offered", "running"} for attempt in attempts):
        history.problem(f"an attempt of issue {issue['id']} never ended")
    if [attempt["number"] for attempt in attempts] != list(range(1, len(attempts) + 1)):
        history.problem(f"attempts of issue {issue['id']} are numbered {[a['number'] for a in attempts]}")
    if issue["result_branch"] is not None:
        newest = attempts[-1] if attempts else {}
        if (newest.get("status"), newest.get("branch")) != ("succeeded", issue["result_branch"]):
            history.problem(f"issue {issue['id']} has a branch that its newest attempt did not deliver")


def _check_attempts(history: History, issue: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    stored = {attempt["id"]: attempt for attempt in attempts}
    for work in history.work.values():
        if work.issue_id == issue["id"] and work.attempt_id not in stored:
            history.problem(f"attempt {work.attempt_id} was handed out and is gone")
    for attempt in attempts:
        history.counts["lost attempts"] += attempt["status"] == "lost"
        history.counts["adopted"] += attempt["adopted"]
        work = history.work.get(attempt["id"])
        if attempt["status"] in {"succeeded", "failed"}:
            sent = work.report if work is not None else None
            if sent is None or sent["result"] != attempt["status"]:
                history.problem(f"attempt {attempt['id']} has the result {attempt['status']}; sent was {sent}")
        if work is not None and work.answer is not None and work.report is not None:
            wanted = {work.report["result"]}
            if attempt["status"] not in wanted or attempt["adopted"] != work.answer["adopted"]:
                history.problem(f"the acknowledged result {work.report['result']} of {attempt['id']} is {attempt}")


def _check_entries(history: History, given: list[Work], entries: list[dict[str, Any]]) -> None:
    stored: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        stored[entry["attempt_id"]].append(entry)
    for work in given:
        mine = stored.pop(work.attempt_id, [])
        history.counts["entries"] += len(mine)
        history.counts["masked"] += work.secret is not None and any(MASK in entry["output"] for entry in mine)
        if [entry["seq"] for entry in mine] != list(range(len(mine))):
            history.problem(f"the log of {work.attempt_id} is numbered {[entry['seq'] for entry in mine]}")
        if len(mine) < work.acknowledged_entries:
            history.problem(f"{work.attempt_id}: {work.acknowledged_entries} entries acknowledged, {len(mine)} stored")
        if [entry["output"] for entry in mine] != work.entries[: len(mine)]:
            history.problem(f"the log of {work.attempt_id} is not what its node wrote")
    if stored:
        history.problem(f"log entries of attempts that nobody was given: {list(stored)}")
