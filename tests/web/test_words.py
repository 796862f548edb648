"""What a person reads of refusals, of waiting, and of what was spent; in both languages."""

from uuid import uuid4

import asyncpg
import pytest
from playwright.async_api import Browser, expect

from tests.agent.harness import ADMIN, ServerProcess
from tests.web.conftest import MakeIssue, visiting

pytestmark = pytest.mark.web

LANGUAGES = ["en-GB", "zh-CN"]
IN_USE = "Another account has this email address."


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_a_refusal_is_told_in_the_readers_language(browser: Browser, server: ServerProcess, locale: str) -> None:
    async with visiting(browser, server, locale=locale) as (page, watch):
        watch.expected.append("409")
        await page.goto("/users")
        await expect(page.locator("tr[data-id]").first).to_be_visible()
        await page.keyboard.press("c")
        await page.locator("#form-email").fill(ADMIN[0].upper())
        await page.locator("#form-password").fill("long enough to be taken")
        await page.locator("dialog .button.primary").click()
        toast = page.locator(".toast")
        await expect(toast).to_contain_text(IN_USE)
        if locale == "zh-CN":
            await expect(toast).to_contain_text("该邮箱已被其他账号使用。")
            await expect(toast.locator("small[lang=en]")).to_have_text(IN_USE)
        else:
            await expect(toast.locator("small")).to_have_count(0)


async def test_a_wrong_field_is_told_in_chinese(browser: Browser, server: ServerProcess) -> None:
    async with visiting(browser, server, locale="zh-CN") as (page, watch):
        watch.expected.append("400")
        await page.goto("/users")
        await expect(page.locator("tr[data-id]").first).to_be_visible()
        await page.keyboard.press("c")
        await page.locator("#form-email").fill("no address")
        await page.locator("#form-password").fill("long enough to be taken")
        await page.locator("dialog .button.primary").click()
        await expect(page.locator(".field .wrong")).to_contain_text("此项不符合要求。")


async def test_why_an_issue_waits_is_told_in_chinese(
    browser: Browser, server: ServerProcess, make_issue: MakeIssue
) -> None:
    issue_id = await make_issue("Waits")
    async with visiting(browser, server, locale="zh-CN") as (page, _):
        await page.goto(f"/issues/{issue_id}")
        await expect(page.locator(".explain strong").first).to_contain_text("没有")
        await expect(page.locator(".explain li .second").first).to_contain_text("No node")


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_what_was_spent_stands_on_issue_project_and_credential(
    browser: Browser, server: ServerProcess, make_issue: MakeIssue, locale: str
) -> None:
    project = await server.call("POST", "/projects", {"name": f"Spends {uuid4().hex[:6]}"})
    secret = {"title": f"Spent {uuid4().hex[:6]}", "category": "cursor", "pat": "sk-test-1234567890"}
    credential = await server.call("POST", "/credentials", secret)
    issue_id = await make_issue("Costs", project_id=project["id"])
    connection = await asyncpg.connect(server.database_url)
    attempt_id = uuid4()
    await connection.execute(
        """INSERT INTO attempt (id, issue_id, node_name, credential_id, number, status, branch, claim_id, offer,
                start_by, started_at, finished_at)
           VALUES ($1, $2, 'n', $3, 1, 'failed', 'b', $1, '{}', now(), now(), now())""",
        *(attempt_id, issue_id, credential["id"]),
    )
    await connection.execute(
        "INSERT INTO attempt_usage VALUES ($1, 'anthropic', 'opus', 120000, 4500, 900, 0, 1.25)", attempt_id
    )
    await connection.close()
    async with visiting(browser, server, locale=locale) as (page, _):
        words = "输入 120,000，输出 4,500" if locale == "zh-CN" else "120,000 tokens in, 4,500 out"
        await page.goto(f"/issues/{issue_id}")
        spent = page.locator(".spent")
        await expect(spent).to_contain_text("1.25")
        await expect(spent).to_contain_text(words)
        for resource, row in (("projects", project), ("credentials", credential)):
            await page.goto(f"/{resource}")
            await page.locator(f"tr[data-id='{row['id']}'] .row-name").click()
            await expect(spent).to_contain_text("1.25")
            await expect(spent).to_contain_text(words)
            await page.keyboard.press("Escape")
