"""An hour of a busy fleet on a page that stays open, compressed: `make hour EVENTS=36000`; a short one in the gate."""

import os
import time
from collections.abc import Callable

import pytest
from playwright.async_api import Browser, CDPSession, Page, expect

from tests.agent.harness import ServerProcess
from tests.web.conftest import visiting

pytestmark = pytest.mark.web

EVENTS = int(os.environ.get("NODEYARD_WEB_EVENTS", "4000"))
AT_ONCE = 500
"""Fewer than what the server keeps for one listener, so that every event is told and none is summed up in a reset."""
WARM_UP = 2000
HEAP_MAX_BYTES = 3_000_000
NODES_MAX = 200
LISTEN = """async () => {
  const main = document.querySelector('script[type=module][src]').src;
  const events = await import(new URL('lib/events.js', main).href);
  window.heard = 0;
  window.resets = 0;
  events.subscribe('issue', () => { window.heard += 1; });
  events.subscribe('reset', () => { window.resets += 1; });
}"""


async def heard(page: Page, at_least: int) -> None:
    await page.wait_for_function("least => window.heard >= least", arg=at_least, timeout=120_000)


async def held(page: Page, devtools: CDPSession) -> tuple[int, int]:
    """Bytes of the heap, and elements of the document, at rest."""
    await page.wait_for_timeout(1500)
    for _ in range(2):
        await devtools.send("HeapProfiler.collectGarbage")
    heap = (await devtools.send("Runtime.getHeapUsage"))["usedSize"]
    return int(heap), await page.evaluate("() => document.querySelectorAll('*').length")


@pytest.mark.parametrize("path", ["/issues", "/issues?view=board", "/"])
async def test_an_hour_of_events_leaves_the_page_as_small_as_it_was(
    browser: Browser, own_server: ServerProcess, path: str, record_property: Callable[[str, object], None]
) -> None:
    async with visiting(browser, own_server) as (page, _):
        await page.goto(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.evaluate(LISTEN)
        devtools = await page.context.new_cdp_session(page)
        made = 0

        async def bring(events: int) -> None:
            nonlocal made
            while made < events:
                issues = [{"title": f"Piece {made + n}", "priority": n % 7} for n in range(AT_ONCE)]
                await own_server.call("POST", "/issues/bulk", {"issues": issues})
                made += AT_ONCE
                await heard(page, made)

        await bring(WARM_UP)
        heap, nodes = await held(page, devtools)
        await page.evaluate("() => { window.resets = 0; }")
        started = time.monotonic()
        await bring(EVENTS)
        took = time.monotonic() - started
        heap_after, nodes_after = await held(page, devtools)
        assert await page.evaluate("() => window.resets") == 0
        for name, value in (
            ("events", made),
            ("events_per_s", round((made - WARM_UP) / took)),
            ("heap_before", heap),
            ("heap_after", heap_after),
            ("elements_before", nodes),
            ("elements_after", nodes_after),
        ):
            record_property(name, value)
            print(f"{path}: {name} {value}")  # noqa: T201 - Shown by `make hour`.
        assert heap_after - heap < HEAP_MAX_BYTES
        assert nodes_after - nodes < NODES_MAX
