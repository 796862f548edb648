"""Sessions of the page: a cookie that scripts cannot read and other sites cannot use, and when it ends."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from litestar import Litestar
from speaking import ADMIN, client_of

AUTH = "/api/v1/auth"
SAME_ORIGIN = {"Origin": "http://test"}
PERSON = {"email": "ada@example.com", "password": "correct horse 9"}


async def log_in(client: httpx2.AsyncClient, email: str, password: str) -> httpx2.Response:
    answer = await client.post(f"{AUTH}/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture
async def browser(app: Litestar) -> AsyncIterator[httpx2.AsyncClient]:
    """Logged in as the first superuser, by the cookie alone."""
    async with client_of(app) as client:
        await log_in(client, *ADMIN)
        yield client


async def test_no_script_reads_the_cookie_and_no_cache_keeps_it(anyone: httpx2.AsyncClient):
    answer = await log_in(anyone, *ADMIN)
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=lax", "path=/"} <= attributes
    assert "secure" not in attributes
    assert answer.headers["cache-control"] == "no-store"


async def test_the_cookie_is_for_tls_alone_where_tls_is_spoken(app: Litestar):
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://test") as client:
        answer = await log_in(client, *ADMIN)
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "origin", [None, "null", "", "http://evil.example", "http://test.evil.example", "http://test:81", "test"]
)
async def test_other_sites_cannot_write_with_the_cookie(browser: httpx2.AsyncClient, origin: str | None):
    headers = {} if origin is None else {"Origin": origin}
    answer = await browser.post(f"{AUTH}/tokens", json={"name": "stolen"}, headers=headers)
    assert answer.status_code == 403
    listed = (await browser.get(f"{AUTH}/tokens")).json()["items"]
    assert [each["kind"] for each in listed] == ["session"]


async def test_the_page_itself_writes_with_the_cookie(browser: httpx2.AsyncClient):
    answer = await browser.post(f"{AUTH}/tokens", json={"name": "mine"}, headers=SAME_ORIGIN)
    assert answer.status_code == 201


async def test_a_token_needs_no_origin(admin: httpx2.AsyncClient):
    answer = await admin.post(f"{AUTH}/tokens", json={"name": "mine"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 201


async def test_logging_out_ends_the_session_on_the_server(app: Litestar, browser: httpx2.AsyncClient):
    kept = browser.cookies["nodeyard_session"]
    assert (await browser.post(f"{AUTH}/logout", headers=SAME_ORIGIN)).status_code == 204
    assert "nodeyard_session" not in browser.cookies
    async with client_of(app, kept) as client:
        assert (await client.get(f"{AUTH}/me")).status_code == 401


async def test_a_new_password_ends_the_other_sessions_and_keeps_tokens(app: Litestar, browser: httpx2.AsyncClient):
    made = await browser.post(f"{AUTH}/tokens", json={"name": "script"}, headers=SAME_ORIGIN)
    async with client_of(app) as elsewhere, client_of(app, made.json()["token"]) as script:
        await log_in(elsewhere, *ADMIN)
        before = browser.cookies["nodeyard_session"]
        change = {"current_password": ADMIN[1], "new_password": "another horse 10"}
        wrong = await browser.post(f"{AUTH}/password", json={**change, "current_password": "x"}, headers=SAME_ORIGIN)
        assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
        assert (await elsewhere.get(f"{AUTH}/me")).status_code == 200
        assert (await browser.post(f"{AUTH}/password", json=change, headers=SAME_ORIGIN)).status_code == 200
        assert browser.cookies["nodeyard_session"] != before
        assert (await browser.get(f"{AUTH}/me")).status_code == 200
        assert (await elsewhere.get(f"{AUTH}/me")).status_code == 401
        assert (await script.get(f"{AUTH}/me")).status_code == 200
    async with client_of(app, before) as former:
        assert (await former.get(f"{AUTH}/me")).status_code == 401


async def test_who_is_deactivated_is_out_at_once_and_starts_anew(app: Litestar, admin: httpx2.AsyncClient):
    user_id = (await admin.post("/api/v1/users", json=PERSON)).json()["id"]
    async with client_of(app) as browser:
        await log_in(browser, **PERSON)
        made = await browser.post(f"{AUTH}/tokens", json={"name": "script"}, headers=SAME_ORIGIN)
        async with client_of(app, made.json()["token"]) as script:
            assert (await script.get(f"{AUTH}/me")).status_code == 200
            changed = await admin.patch(f"/api/v1/users/{user_id}", json={"is_active": False})
            assert changed.status_code == 200
            for client in (browser, script):
                assert (await client.get(f"{AUTH}/me")).status_code == 401
            assert (await browser.post(f"{AUTH}/login", json=PERSON)).status_code == 401
            await admin.patch(f"/api/v1/users/{user_id}", json={"is_active": True})
            for client in (browser, script):
                assert (await client.get(f"{AUTH}/me")).status_code == 401
        await log_in(browser, **PERSON)
