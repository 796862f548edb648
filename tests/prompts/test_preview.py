"""A prompt is seen as a node would get it, before it is saved."""

import httpx2

from tests.speaking import Queue

PATH = "/api/v1/prompts/preview"


async def test_preview_is_rendered_for_the_chosen_issue(admin: httpx2.AsyncClient, queue: Queue) -> None:
    issue_id = await queue.add("Round once", issue_number=12)
    answer = await admin.post(
        PATH,
        json={"content": "{{ issue.title }} on {{ attempt.branch }}, {{ earlier | length }}", "issue_id": issue_id},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"rendered": "Round once on nodeyard/12-a1, 0"}


async def test_preview_without_an_issue_uses_a_sample(admin: httpx2.AsyncClient) -> None:
    answer = await admin.post(PATH, json={"content": "{{ issue.title }}"})
    assert answer.json()["rendered"]


async def test_preview_names_the_line_of_a_misspelt_field(admin: httpx2.AsyncClient) -> None:
    answer = await admin.post(PATH, json={"content": "fine\n{{ issue.titel }}"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "content"
    assert "Line 2" in answer.json()["detail"]


async def test_foreign_issue_cannot_be_previewed(admin: httpx2.AsyncClient) -> None:
    missing = "0199d9a4-0000-7000-8000-0000000000ff"
    assert (await admin.post(PATH, json={"content": "x", "issue_id": missing})).status_code == 404
