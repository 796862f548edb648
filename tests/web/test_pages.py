"""What the server gives a browser: the page, its files, and where they come from."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from litestar import Litestar
from speaking import client_of

from app.web import assets, pages

STATIC = assets.ROOT
VENDOR = STATIC / "vendor"
OWN_FILES = [path for path in STATIC.rglob("*") if path.is_file() and VENDOR not in path.parents]


@pytest.fixture
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    """The page needs neither database nor session."""
    async with client_of(Litestar(pages.handlers)) as client:
        yield client


def test_vendored_modules_are_what_was_recorded() -> None:
    record = json.loads((VENDOR / "vendor.json").read_text())
    assert {entry["file"] for entry in record} == {path.name for path in VENDOR.glob("*.js")} | {"uplot.css"}
    for entry in record:
        content = (VENDOR / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], entry["file"]
        assert entry["version"]
        assert entry["licence"] in {"MIT", "Apache-2.0"}
        assert (VENDOR / entry["licence_file"]).stat().st_size > 500


def test_vendored_versions_are_the_locked_ones() -> None:
    lock = json.loads((Path(__file__).parents[2] / "frontend" / "package-lock.json").read_text())
    for entry in json.loads((VENDOR / "vendor.json").read_text()):
        assert lock["packages"][f"node_modules/{entry['package']}"]["version"] == entry["version"]


async def test_page_forbids_everything_from_elsewhere(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=", answer.text)
    assert not re.search(r"""(?:href|src)=["'](?!/)""", answer.text)


@pytest.mark.parametrize("path", ["/issues", "/issues/0199d9a4-0000-7000-8000-000000000001", "/nodes", "/account"])
async def test_every_address_of_the_application_is_the_page(browser: httpx2.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).text == (await browser.get("/")).text


async def test_unchanged_page_is_not_sent_again(browser: httpx2.AsyncClient) -> None:
    tag = (await browser.get("/")).headers["etag"]
    again = await browser.get("/", headers={"If-None-Match": tag})
    assert again.status_code == 304
    assert again.content == b""


async def test_files_are_cached_for_ever_under_the_version_of_their_content(browser: httpx2.AsyncClient) -> None:
    index = (await browser.get("/")).text
    paths = set(re.findall(r"/static/[^\"]+", index))
    assert len(paths) > 10
    for path in paths:
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].partition(";")[0] in {"text/javascript", "text/css", "image/svg+xml"}


async def test_files_of_another_version_are_gone(browser: httpx2.AsyncClient) -> None:
    assert (await browser.get("/static/0123456789abcdef/main.js")).status_code == 404


@pytest.mark.parametrize("path", ["../pages.py", "%2e%2e/pages.py", "vendor/../../pages.py", "vendor/preact.d.ts"])
async def test_only_the_page_s_own_files_are_served(browser: httpx2.AsyncClient, path: str) -> None:
    assert (await browser.get(f"/static/{assets.load().version}/{path}")).status_code == 404


def test_page_names_no_other_host() -> None:
    allowed = r"http://www\.w3\.org/2000/svg|https://github\.com/(?:acme/|…)|https\?:"
    for path in OWN_FILES:
        for found in re.findall(r"https?:/+[\w…][^\s\"'`<>)]*", path.read_text()):
            assert re.match(allowed, found), f"{path.name}: {found}"


def test_first_view_is_small() -> None:
    """What a browser loads for the overview, uncompressed: the limit is 300 kB."""
    found = assets.load()
    index = found.index.decode()
    names = re.findall(rf"/static/{found.version}/([^\"]+)", index)
    reached = {*names, "views/overview.js", "components/chart.js", "vendor/uplot.js"}
    assert sum(len(found.files[name].content) for name in reached) < 300_000
    assert sum(len(found.files[name].gzipped) for name in reached) < 110_000
