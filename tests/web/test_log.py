"""The log of an issue: whole, in order, coloured, folded, searched, linked, and quick at 100 000 lines."""

import re
from collections.abc import Callable, Sequence
from uuid import uuid4

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.agent.harness import ServerProcess
from tests.web.conftest import MakeIssue
from tests.web.processor import FRAME_MS, frame_ms

pytestmark = pytest.mark.web

FRAMES = 120
# Jumps through the whole log, so that each frame draws lines that were never drawn before.
SCROLL = """async frames => {
  const log = document.querySelector('.log-scroll');
  for (let n = 1; n <= frames; n += 1) {
    log.scrollTop = log.scrollHeight * n / frames;
    await new Promise(requestAnimationFrame);
  }
}"""


async def add_attempt(server: ServerProcess, issue_id: str, entries: Sequence[tuple[str, str, str | None]]) -> None:
    """An attempt that has ended, with a log of (step, status, output)."""
    connection = await asyncpg.connect(server.database_url)
    attempt_id = uuid4()
    await connection.execute(
        """INSERT INTO attempt (id, issue_id, node_name, number, status, branch, claim_id, offer, start_by, created_at,
               started_at, finished_at, next_seq)
           VALUES ($1, $2, 'logger', 1, 'succeeded', 'b', $1, '{}', now(), now(), now(), now(), $3)""",
        attempt_id, issue_id, len(entries),
    )  # fmt: skip
    await connection.executemany(
        """INSERT INTO workflowlog (id, issue_id, attempt_id, seq, step_name, status, output, duration_ms, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 1500, now())""",
        [(uuid4(), issue_id, attempt_id, seq, *entry) for seq, entry in enumerate(entries)],
    )
    await connection.close()


async def test_colours_folds_search_and_links(visit: Page, server: ServerProcess, make_issue: MakeIssue) -> None:
    issue_id = await make_issue("Read me")
    coding = "\n".join(f"line {n} of coding" for n in range(1, 301))
    await add_attempt(
        server,
        issue_id,
        [
            ("clone", "success", "Receiving:  1%\rReceiving: 100%\n"),
            ("ai_coding", "running", "\x1b[31mred\x1b[0m and \x1b[38;2;1;2;3mexact\x1b[0m\n"),
            ("ai_coding", "success", coding),
            ("test", "failed", "1 failed"),
        ],
    )
    await visit.goto(f"/issues/{issue_id}#L150")
    log = visit.get_by_role("log")
    linked = log.locator(".log-line[data-linked=true]")
    await expect(linked).to_be_in_viewport()
    await expect(linked).to_have_attribute("data-line", "150")
    await expect(linked).to_contain_text("line 148 of coding")
    await visit.get_by_label("Search the log").fill("receiving")
    await expect(log.locator(".log-line[data-current=true] .log-text")).to_have_text("Receiving: 100%")
    await expect(log.locator(".ansi-red-fg")).to_have_text("red")
    assert await log.get_by_text("exact").evaluate("each => each.style.color") == "rgb(1, 2, 3)"
    await visit.get_by_label("Search the log").fill("of coding")
    await expect(visit.locator(".log-count")).to_have_text("1/300")
    await visit.get_by_label("Search the log").press("Enter")
    await expect(visit.locator(".log-count")).to_have_text("2/300")
    await visit.get_by_label("Search the log").press("Escape")
    await visit.get_by_role("button", name="Fold all steps").click()
    await expect(log.locator(".log-line")).to_have_count(0)
    await expect(log.locator(".log-head")).to_have_count(3)
    await log.get_by_role("button", name=re.compile("Test")).click()
    await expect(log.locator(".log-line")).to_have_count(1)
    await log.locator(".log-number").click()
    assert visit.url.endswith("#L303")


async def test_following_stops_on_scrolling_up_and_begins_again(
    visit: Page, server: ServerProcess, make_issue: MakeIssue
) -> None:
    issue_id = await make_issue("Long")
    await add_attempt(server, issue_id, [("ai_coding", "success", "\n".join(f"row {n}" for n in range(1, 2001)))])
    await visit.goto(f"/issues/{issue_id}")
    log = visit.get_by_role("log")
    await expect(log.get_by_text("row 1", exact=True)).to_be_visible()
    await visit.get_by_role("button", name="Jump to the end").click()
    await expect(log.get_by_text("row 2000", exact=True)).to_be_in_viewport()
    await expect(visit.get_by_role("button", name="Jump to the end")).to_have_count(0)
    await log.hover()
    await visit.mouse.wheel(0, -2000)
    await expect(visit.get_by_role("button", name="Jump to the end")).to_be_visible()
    raw = await visit.request.get(f"/api/v1/issues/{issue_id}/logs/raw")
    assert "row 1234" in await raw.text()


async def test_100_000_lines_scroll_without_a_stutter(
    visit: Page, server: ServerProcess, make_issue: MakeIssue, record_property: Callable[[str, object], None]
) -> None:
    issue_id = await make_issue("Very long")
    entries = [
        (
            f"step {n // 500}",
            "running",
            "\n".join(f"\x1b[3{k % 8}mline\x1b[0m {n} {k} " + "x" * (k % 150) for k in range(50)),
        )
        for n in range(2000)
    ]
    await add_attempt(server, issue_id, entries)
    await visit.goto(f"/issues/{issue_id}")
    await expect(visit.locator("[data-lines='100000']")).to_be_visible(timeout=30_000)
    frame = await frame_ms(visit, SCROLL, FRAMES)
    record_property("frame_ms", round(frame, 2))
    assert frame < FRAME_MS
    assert await visit.locator(".log-line").count() < 200
