"""An operator's day: log in, put work into the queue, watch it, stop it, send it again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.agent.harness import ADMIN, AgentProcess, Remote, ServerProcess
from tests.web.conftest import MakeIssue, visiting

pytestmark = pytest.mark.web

SLOW = "for n in 1 2 3 4 5 6 7 8; do echo working on part $n; sleep 0.5; done; echo new > code.txt; echo finished"


async def test_logging_in_shows_the_overview_and_logging_out_ends_it(browser: Browser, server: ServerProcess) -> None:
    async with visiting(browser, server) as (page, watch):
        await page.context.clear_cookies()
        await page.goto("/")
        await page.get_by_label("Email").fill(ADMIN[0])
        await page.get_by_label("Password").fill("wrong, surely")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        watch.expected.append("401")
        await page.get_by_label("Password").fill(ADMIN[1])
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()


async def test_created_issue_is_worked_on_while_one_watches(
    visit: Page, make_agent: Callable[..., AgentProcess], remote: Remote, tmp_path: Path
) -> None:
    make_agent(SLOW)
    await visit.goto("/issues")
    await expect(visit.get_by_role("heading", name="Issues", level=1)).to_be_visible()
    await visit.keyboard.press("c")
    dialog = visit.get_by_role("dialog")
    await dialog.get_by_label("Title").fill("Mend the code")
    await dialog.get_by_label("Description").fill("It is **broken**.")
    await dialog.get_by_label("Address of the repository").fill(str(remote.path))
    await dialog.get_by_label("Required tags").fill(tmp_path.name)
    await dialog.get_by_role("button", name="Create issue").click()
    await expect(visit.get_by_role("heading", name="Mend the code")).to_be_visible()
    await expect(visit.locator(".markdown strong")).to_have_text("broken")
    log = visit.get_by_role("log")
    await expect(log.get_by_text("working on part 2", exact=True)).to_be_visible(timeout=30_000)
    assert await log.get_by_text("finished", exact=True).count() == 0
    await expect(visit.locator(".issue-title .pill")).to_have_text("Running")
    await expect(log.get_by_text("finished", exact=True)).to_be_visible(timeout=30_000)
    await expect(visit.locator(".issue-title .pill")).to_have_text("To merge", timeout=30_000)
    await expect(visit.locator(".gantt-row")).not_to_have_count(0)
    await visit.get_by_role("button", name="Mark merged").click()
    await expect(visit.locator(".issue-title .pill")).to_have_text("Merged")


async def test_running_issue_is_cancelled_and_requeued(
    visit: Page, make_agent: Callable[..., AgentProcess], make_issue: MakeIssue
) -> None:
    issue_id = await make_issue()
    make_agent("echo started; sleep 60")
    await visit.goto(f"/issues/{issue_id}")
    await expect(visit.get_by_role("log").get_by_text("started", exact=True)).to_be_visible(timeout=30_000)
    await visit.get_by_role("button", name="Cancel", exact=True).click()
    await expect(visit.locator(".issue-title .pill")).to_have_text("Cancelled", timeout=30_000)
    await visit.get_by_role("button", name="Requeue").click()
    await expect(visit.locator(".gantt-attempt")).to_have_count(2, timeout=30_000)
    await expect(visit.locator(".issue-title .pill")).to_have_text("Running")


async def test_many_issues_are_pasted_found_and_changed_at_once(visit: Page, server: ServerProcess) -> None:
    await visit.goto("/issues?new=1")
    dialog = visit.get_by_role("dialog")
    await dialog.get_by_role("button", name="Many").click()
    await dialog.get_by_label("One issue a line").fill("#7 Pasted alpha\n8: Pasted beta\n\nPasted gamma")
    await dialog.get_by_label("Address of the repository").fill("https://github.com/acme/pasted.git")
    await dialog.get_by_label("Required tags").fill("nobody-has-this")
    await dialog.get_by_role("button", name="Create issues").click()
    await expect(dialog).to_have_count(0)
    await visit.keyboard.press("/")
    await visit.keyboard.type("Pasted")
    rows = visit.locator(".issue-row[data-id]")
    await expect(rows).to_have_count(3)
    await visit.wait_for_url("**/issues?q=Pasted")
    await expect(rows.filter(has_text="Pasted alpha")).to_contain_text("#7")
    await visit.keyboard.press("Escape")
    await visit.get_by_label("Select all that are loaded").click()
    await visit.get_by_role("toolbar").get_by_role("button", name="Priority").click()
    await visit.get_by_role("dialog").get_by_label("Priority").fill("42")
    await visit.get_by_role("button", name="Save").click()
    await expect(rows.filter(has_text="42")).to_have_count(3)
    await rows.first.locator("input").click()
    await visit.get_by_role("toolbar").get_by_role("button", name="Cancel", exact=True).click()
    await expect(rows.first.locator(".status")).to_have_attribute("data-status", "cancelled")
    await expect(visit.locator(".toast").filter(has_text="1 issue changed.")).to_be_visible()
    found = (await server.call("GET", "/issues?q=Pasted"))["items"]
    assert [each["priority"] for each in found] == [42, 42, 42]
    assert sorted(each["status"] for each in found) == ["cancelled", "pending", "pending"]


async def test_refused_action_is_taken_back_with_the_server_s_sentence(
    browser: Browser, server: ServerProcess, make_issue: MakeIssue
) -> None:
    issue_id = await make_issue("Refused")
    await server.call("POST", f"/issues/{issue_id}/cancel")
    async with visiting(browser, server) as (page, watch):
        watch.expected.extend(["ERR_FAILED", "409"])
        # Without events the page cannot know that somebody else was faster.
        await page.route("**/api/v1/events", lambda route: route.abort())
        await page.goto(f"/issues/{issue_id}")
        await expect(page.locator(".issue-title .pill")).to_have_text("Cancelled")
        await server.call("POST", f"/issues/{issue_id}/requeue")
        await page.get_by_role("button", name="Requeue", exact=True).click()
        sentence = "Only an issue that ended and is not merged can be queued again."
        await expect(page.locator(".toast")).to_contain_text(sentence)
        await expect(page.locator(".issue-title .pill")).to_have_text("Cancelled")
