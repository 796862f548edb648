"""Pictures of the page for the documents: starts the demo, waits for its issues, and looks at it in Chromium."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.async_api import APIRequestContext, Browser, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "screenshots"
ELSEWHERE = "https://github.com/acme/shop.git"
# Where the clone happens to stand is nobody's concern.
NEUTRAL = """([from, to]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(from, to);
}"""
WHILE_WORKING = (
    ("overview", "/", "en-GB", "light", (1360, 720)),
    ("overview-zh", "/", "zh-CN", "dark", (1360, 720)),
)
AFTERWARDS = (
    ("issue", "ISSUE", "en-GB", "dark", (1360, 960)),
    ("issues", "/issues", "en-GB", "light", (1360, 640)),
    ("board-zh", "/issues?view=board", "zh-CN", "light", (1360, 640)),
    ("nodes", "/nodes", "en-GB", "dark", (1360, 560)),
    ("phone", "ISSUE", "en-GB", "light", (390, 844)),
)
WAITING = (
    ("Train the ranking model again", ["gpu"], 10),
    ("Show the delivery date on the order page", ["macos"], 5),
    ("Replace the date picker", ["macos"], 0),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "NODEYARD_HOME": home, "NODEYARD_PORT": "0"}
        demo = subprocess.Popen(
            [sys.executable, "-u", "-m", "app", "demo"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            told = _login_of(demo)
            asyncio.run(_look(told["Page"], told["Login"], told["Password"]))
        finally:
            demo.terminate()
            demo.wait(60)


def _login_of(demo: subprocess.Popen[str]) -> dict[str, str]:
    told: dict[str, str] = {}
    for line in demo.stdout or ():
        words = line.split()
        if len(words) == 2 and words[0] in {"Page", "Login", "Password"}:
            told[words[0]] = words[1]
        if len(told) == 3:
            return told
    raise SystemExit("The demo ended before it said where it is.")


async def _look(base: str, email: str, password: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        api = await playwright.request.new_context(base_url=base)
        login = {"email": email, "password": password}
        token = (await (await api.post("/api/v1/auth/login", data=login)).json())["token"]
        await _add_waiting(api, token)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        await _worked(api, token, lambda statuses: "processing" in statuses and "pending_merge" in statuses)
        for name, path, locale, scheme, size in WHILE_WORKING:
            await _shoot(browser, OUT / f"{name}.png", base + path, login, locale, scheme, *size)
        shown = await _worked(api, token, lambda statuses: not statuses & {"pending", "processing"})
        for name, path, locale, scheme, size in AFTERWARDS:
            where = base + path.replace("ISSUE", f"/issues/{shown}")
            await _shoot(browser, OUT / f"{name}.png", where, login, locale, scheme, *size)
        await browser.close()


async def _add_waiting(api: APIRequestContext, token: str) -> None:
    for title, requires, priority in WAITING:
        body = {"title": title, "requires": requires, "priority": priority, "repository_url": ELSEWHERE}
        answer = await api.post("/api/v1/issues", data=body, headers={"Authorization": f"Bearer {token}"})
        if not answer.ok:
            raise SystemExit(await answer.text())


async def _worked(api: APIRequestContext, token: str, fits: Callable[[set[str]], bool]) -> str:
    """The sample issue with the most attempts, once the statuses of all sample issues fit."""
    while True:
        answer = await api.get("/api/v1/issues?limit=200", headers={"Authorization": f"Bearer {token}"})
        samples = [each for each in (await answer.json())["items"] if not each["requires"]]
        if samples and fits({each["status"] for each in samples}):
            return max(samples, key=lambda each: each["attempt_count"])["id"]
        await asyncio.sleep(0.2)


async def _shoot(
    browser: Browser, to: Path, where: str, login: dict[str, str], locale: str, scheme: str, width: int, height: int
) -> None:
    context = await browser.new_context(
        locale=locale,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        base_url=where,
    )
    await context.request.post("/api/v1/auth/login", data=login)
    page = await context.new_page()
    await page.goto(where)
    await page.locator(".fresh[data-state=live]").wait_for()
    await page.wait_for_timeout(600)
    await page.evaluate(NEUTRAL, [str(ROOT), "~/nodeyard"])
    await page.screenshot(path=to)
    await context.close()


if __name__ == "__main__":
    main()
