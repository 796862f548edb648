"""Languages, schemes, keyboard, screen readers, phones."""

import json
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.agent.harness import ServerProcess
from tests.web.conftest import MakeIssue, visiting

pytestmark = pytest.mark.web

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = {
    "/": "Overview",
    "/issues": "Issues",
    "/issues?view=board": "Issues",
    "/issues?new=1": "Issues",
    "/nodes": "Nodes",
    "/nodes?connect=1": "Nodes",
    "/projects": "Projects",
    "/repositories": "Repositories",
    "/prompts": "Prompts",
    "/credentials": "Credentials",
    "/users": "Users",
    "/audit": "Audit",
    "/account": "My account",
}


async def test_chinese_browser_is_spoken_to_in_chinese_and_may_switch(browser: Browser, server: ServerProcess) -> None:
    async with visiting(browser, server, locale="zh-CN") as (page, _):
        await page.goto("/")
        await expect(page.get_by_role("heading", name="总览", level=1)).to_be_visible()
        assert await page.locator("html").get_attribute("lang") == "zh-Hans"
        await page.get_by_role("button", name="语言").click()
        await page.get_by_role("menuitemradio", name="English").click()
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()


async def test_the_audit_is_searched(visit: Page, server: ServerProcess) -> None:
    made = await server.call("POST", "/projects", {"name": "Audited"})
    await server.call("DELETE", f"/projects/{made['id']}")
    await visit.goto("/audit")
    rows = visit.locator("table.audit tbody tr")
    await expect(rows.first).to_be_visible()
    await visit.get_by_label("Search the audit").fill(made["id"])
    await visit.keyboard.press("Enter")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("project.delete")


async def test_dark_follows_the_system_until_one_chooses(browser: Browser, server: ServerProcess) -> None:
    async with visiting(browser, server, color_scheme="dark") as (page, _):
        await page.goto("/")
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        background = "() => parseFloat(getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/)[0])"
        assert await page.evaluate(background) < 0.5
        await page.get_by_role("button", name="Colours").click()
        await page.get_by_role("menuitemradio", name="Light").click()
        assert await page.evaluate(background) > 0.5
        await page.reload()
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        assert await page.evaluate(background) > 0.5


async def test_keyboard_reaches_everything(visit: Page, make_issue: MakeIssue) -> None:
    await make_issue("By keyboard")
    await visit.goto("/")
    await expect(visit.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    await visit.keyboard.press("g")
    await visit.keyboard.press("i")
    await expect(visit.get_by_role("heading", name="Issues", level=1)).to_be_visible()
    await expect(visit.locator(".issue-row[data-id]").first).to_be_visible()
    await visit.keyboard.press("j")
    await expect(visit.locator(".issue-row[data-current=true]")).to_have_count(1)
    await visit.keyboard.press("x")
    await expect(visit.get_by_role("toolbar")).to_contain_text("1 selected")
    await visit.keyboard.press("Escape")
    await expect(visit.get_by_role("toolbar")).to_have_count(0)
    await visit.keyboard.press("?")
    await expect(visit.get_by_role("dialog")).to_contain_text("Keyboard")
    await visit.keyboard.press("Escape")
    await visit.keyboard.press("j")
    await visit.keyboard.press("Enter")
    await expect(visit.locator(".issue-title")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(
    browser: Browser, server: ServerProcess, make_issue: MakeIssue, scheme: str
) -> None:
    issue_id = await make_issue("Seen by everyone", description="# Title\n\n- [ ] task\n\n`code`")
    async with visiting(browser, server, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce") as (page, _):
        found = []
        for path, title in {**VIEWS, f"/issues/{issue_id}": "Issues"}.items():
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_contain_text(title)
            await expect(page.locator(".skeleton")).to_have_count(0)
            await page.evaluate(AXE.read_text())
            result = await page.evaluate("async () => JSON.stringify((await axe.run()).violations)")
            found += [
                f"{path}: {each['id']} {[node['html'][:160] for node in each['nodes'][:3]]}"
                for each in json.loads(result)
                if each["impact"] in {"serious", "critical"}
            ]
        assert found == []


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
async def test_nothing_is_wider_than_a_phone(
    browser: Browser, server: ServerProcess, make_issue: MakeIssue, locale: str
) -> None:
    issue_id = await make_issue("A" * 200)
    phone = {"width": 375, "height": 720}
    async with visiting(browser, server, locale=locale, viewport=phone, has_touch=True) as (page, _):
        for path in [*VIEWS, f"/issues/{issue_id}"]:
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.locator(".skeleton")).to_have_count(0)
            wide = await page.evaluate("() => document.documentElement.scrollWidth")
            view = await page.evaluate("() => document.getElementById('view').scrollWidth")
            assert max(wide, view) <= phone["width"], path
        menu = page.locator(".menu-button")
        await menu.click()
        await page.locator(".place[href='/nodes']").click()
        await expect(page.locator(".place[href='/nodes']")).not_to_be_in_viewport()
