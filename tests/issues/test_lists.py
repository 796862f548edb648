"""Lists of issues: search, filters, totals, pages."""

import pytest

from app.domain.dashboard import tallies


async def create(admin, *titles, **fields):
    issues = [{"title": title, **fields} for title in titles]
    answer = await admin.post("/api/v1/issues/bulk", json={"issues": issues})
    assert answer.status_code == 201, answer.text
    return [issue["id"] for issue in answer.json()["items"]]


async def listed(admin, **filters):
    answer = await admin.get("/api/v1/issues", params=filters)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return [issue["title"] for issue in page["items"]], page["total"]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("checkout", ["The Checkout page"]),
        ("eckou", ["The Checkout page"]),
        ("CHECKOUT  page", ["The Checkout page"]),
        ("缓存", ["修复缓存问题"]),
        ("存", ["修复缓存问题"]),
        ("100%", ["Load is 100% of it"]),
        ("a_b", ["Rename a_b"]),
        ("page checkout", []),
        ("he", ["The Checkout page"]),
    ],
)
async def test_search_finds_words_as_they_stand(admin, q, found):
    await create(admin, "The Checkout page", "修复缓存问题", "Load is 100% of it", "Rename a_b")
    titles, total = await listed(admin, q=q)
    assert titles == found
    assert total == len(found)


async def test_search_for_what_most_issues_hold_counts_them_all(admin):
    await create(admin, *(f"Half a_{n} is 50% of it" for n in range(450)), "Half ab is 500 of it")
    for q in ("a_", "50%", "% OF"):
        titles, total = await listed(admin, q=q)
        assert (len(titles), total) == (50, 450), q
    assert (await listed(admin, q="half"))[1] == 451
    assert await listed(admin, q="500") == (["Half ab is 500 of it"], 1)


async def test_search_follows_a_change_and_reads_the_description(admin):
    (issue_id,) = await create(admin, "plain", description="a needle in the hay")
    assert await listed(admin, q="needle") == (["plain"], 1)
    await admin.patch(f"/api/v1/issues/{issue_id}", json={"description": "a thread"})
    assert await listed(admin, q="needle") == ([], 0)
    assert await listed(admin, q="thread") == (["plain"], 1)
    await admin.delete(f"/api/v1/issues/{issue_id}")
    assert await listed(admin, q="thread") == ([], 0)


async def test_totals_follow_every_change_of_status(admin, app, sql):
    first, second, _ = await create(admin, "a", "b", "c")
    await admin.post(f"/api/v1/issues/{first}/cancel")
    await admin.delete(f"/api/v1/issues/{second}")
    for _ in range(2):
        assert (await listed(admin))[1] == 2
        assert await listed(admin, status="cancelled") == (["a"], 1)
        assert await listed(admin, status="pending") == (["c"], 1)
        stats = (await admin.get("/api/v1/dashboard/stats")).json()["issues"]
        assert (stats["total"], stats["pending"], stats["cancelled"]) == (2, 1, 1)
        await sql.execute(
            "INSERT INTO issue_tally SELECT owner_id, what, hour, 0 FROM issue_tally, generate_series(1, 99)"
        )
        await tallies.add_up_once(app.state.db)
    assert await sql.fetchval("SELECT count(*) FROM issue_tally") < 10


async def test_pages_follow_each_other_without_gap_or_repetition(admin):
    await create(admin, *(f"issue {n}" for n in range(7)))
    seen, cursor = [], None
    while True:
        page = (await admin.get("/api/v1/issues", params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        seen += [issue["title"] for issue in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"issue {n}" for n in reversed(range(7))]


async def test_a_cursor_opens_only_the_list_that_made_it(admin):
    await create(admin, "a", "b", "c")
    cursor = (await admin.get("/api/v1/issues", params={"limit": 1})).json()["next_cursor"]
    for changed in ({"cursor": cursor, "status": "pending"}, {"cursor": "A" + cursor[1:]}, {"cursor": "nonsense"}):
        answer = await admin.get("/api/v1/issues", params={"limit": 1, **changed})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "cursor"


async def test_a_patch_changes_the_given_fields_alone(admin):
    (issue_id,) = await create(admin, "a", description="stays", issue_number=7)
    changed = (await admin.patch(f"/api/v1/issues/{issue_id}", json={"issue_number": None})).json()
    assert (changed["description"], changed["issue_number"], changed["title"]) == ("stays", None, "a")
    answer = await admin.patch(f"/api/v1/issues/{issue_id}", json={"status": "merged"})
    assert answer.status_code == 400


async def test_by_priority_pages_run_through_every_status(admin):
    for priority in (1, 2, 3):
        waiting, ended = await create(admin, f"waits {priority}", f"ended {priority}", priority=priority)
        await admin.post(f"/api/v1/issues/{ended}/cancel")
        assert waiting
    titles, cursor = [], ""
    while cursor is not None:
        answer = await admin.get(
            "/api/v1/issues", params={"sort": "priority", "limit": 2, **({"cursor": cursor} if cursor else {})}
        )
        page = answer.json()
        assert page["total"] == 6
        titles += [issue["title"] for issue in page["items"]]
        cursor = page["next_cursor"]
    assert titles == ["ended 3", "waits 3", "ended 2", "waits 2", "ended 1", "waits 1"]
