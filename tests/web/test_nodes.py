"""The machines: paused with a note, resumed, drained; the key shown only when asked for, and rotated."""

from collections.abc import Callable

import pytest
from playwright.async_api import Page, expect

from tests.agent.harness import REGISTRATION_KEY, AgentProcess, ServerProcess
from tests.web.conftest import MakeIssue

pytestmark = pytest.mark.web


async def test_paused_node_takes_nothing_until_it_is_resumed(
    visit: Page, server: ServerProcess, make_agent: Callable[..., AgentProcess], make_issue: MakeIssue
) -> None:
    agent = make_agent("echo new > code.txt")
    await visit.goto("/nodes")
    card = visit.locator(".node").filter(has_text=agent.name)
    await expect(card).to_have_attribute("data-state", "online", timeout=30_000)
    await card.get_by_role("button", name="Pause", exact=True).click()
    dialog = visit.get_by_role("dialog")
    await dialog.get_by_label("Note").fill("New disk")
    await dialog.get_by_label("For how long").select_option("1")
    await dialog.get_by_role("button", name="Pause", exact=True).click()
    await expect(card).to_have_attribute("data-state", "paused")
    await expect(card).to_contain_text("New disk")
    await expect(card).to_contain_text("Paused until")
    node = await server.node(agent.name)
    assert node is not None
    assert node["desired"] == "paused"
    issue_id = await make_issue()
    assert (await server.issue(issue_id))["status"] == "pending"
    await card.get_by_role("button", name="Resume", exact=True).click()
    await expect(card).to_have_attribute("data-state", "online")
    assert (await server.ended(issue_id))["status"] == "pending_merge"


async def test_registration_key_is_hidden_until_asked_for_and_rotated_with_grace(
    visit: Page, server: ServerProcess
) -> None:
    try:
        await visit.goto("/nodes?connect=1")
        dialog = visit.get_by_role("dialog")
        key = dialog.locator(".key")
        await expect(key).to_contain_text("•••")
        assert REGISTRATION_KEY not in await visit.content()
        await dialog.get_by_role("button", name="Reveal").click()
        await expect(key).to_have_text(REGISTRATION_KEY)
        await expect(dialog).to_contain_text(f"--registration-key {REGISTRATION_KEY}")
        await dialog.get_by_text("Rotate the key").click()
        await dialog.get_by_label("The old one works for").select_option("3600")
        await dialog.get_by_role("button", name="Rotate now").click()
        await expect(key).not_to_have_text(REGISTRATION_KEY)
        await expect(key).to_contain_text("nyr_")
        await expect(dialog).to_contain_text("The key before it works until")
    finally:
        shown = await server.call("GET", "/registration-key")
    assert shown["previous_expires_at"] is not None
    actions = [each["action"] for each in (await server.call("GET", "/audit?limit=50"))["items"]]
    assert any("rotate" in action for action in actions)
