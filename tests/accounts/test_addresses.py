"""Whose address the audit names: the peer's, or what proxies of ours say, and never what a stranger says."""

import httpx2
import msgspec
import pytest
from litestar import Litestar
from speaking import ADMIN

from app.settings import Settings

LOGIN = "/api/v1/auth/login"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, trusted_proxies=("10.0.0.0/8", "2001:db8::1"))


async def seen(app: Litestar, peer: str, *forwarded: str) -> str:
    """The address that the audit has of a login."""
    transport = httpx2.ASGITransport(app=app, client=(peer, 4711))
    headers = [("X-Forwarded-For", value) for value in forwarded]
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(LOGIN, json={"email": ADMIN[0], "password": ADMIN[1]}, headers=headers)
        assert answer.status_code == 200, answer.text
        listed = await client.get("/api/v1/audit", params={"action": "login", "limit": 1})
    return listed.json()["items"][0]["address"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.9", [], "192.0.2.9"),
        ("192.0.2.9", ["203.0.113.5"], "192.0.2.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.5"], "203.0.113.5"),
        ("2001:db8::1", ["2001:db8::99"], "2001:db8::99"),
        ("10.1.2.3", ["203.0.113.5, 10.9.9.9"], "203.0.113.5"),
        ("10.1.2.3", ["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
        ("10.1.2.3", ["198.51.100.1", "203.0.113.5"], "203.0.113.5"),
    ],
    ids=["peer", "stranger", "silent proxy", "proxy", "proxy v6", "two proxies", "forged behind proxy", "two headers"],
)
async def test_the_audit_names_the_caller(app: Litestar, peer: str, forwarded: list[str], expected: str):
    assert await seen(app, peer, *forwarded) == expected


async def test_an_unreadable_address_of_a_proxy_is_kept_short(app: Litestar):
    assert await seen(app, "10.1.2.3", "x" * 500) == "x" * 64


@pytest.mark.parametrize(
    ("peer", "forwarded", "told", "is_secure"),
    [
        ("10.1.2.3", [], ["https"], True),
        ("10.1.2.3", [], ["HTTPS"], True),
        ("10.1.2.3", [], [], False),
        ("192.0.2.9", [], ["https"], False),
        ("10.1.2.3", ["203.0.113.5"], ["https", "http"], False),
        ("10.1.2.3", ["203.0.113.5"], ["https, http"], False),
        ("10.1.2.3", ["203.0.113.5"], ["http", "https"], True),
        ("10.1.2.3", ["203.0.113.5, 10.9.9.9"], ["https, http"], True),
        ("10.1.2.3", ["203.0.113.5, 10.9.9.9"], ["https"], True),
        ("10.1.2.3", ["203.0.113.5, 10.9.9.9"], ["https, http, http"], False),
    ],
    ids=[
        *("proxy", "capitals", "silent proxy", "stranger", "forged, two headers", "forged, one header"),
        *("forged downwards", "two proxies", "inner proxy replaces", "forged behind two proxies"),
    ],
)
async def test_only_proxies_of_ours_say_that_the_browser_speaks_tls(
    app: Litestar, peer: str, forwarded: list[str], told: list[str], *, is_secure: bool
):
    transport = httpx2.ASGITransport(app=app, client=(peer, 4711))
    headers = [
        *(("X-Forwarded-For", value) for value in forwarded),
        *(("X-Forwarded-Proto", value) for value in told),
    ]
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(LOGIN, json={"email": ADMIN[0], "password": ADMIN[1]}, headers=headers)
    assert ("secure" in answer.headers["set-cookie"].lower()) is is_secure
