"""Whatever anyone writes is text: in every field, in every view, and in what tools print."""

import pytest
from playwright.async_api import Browser, expect

from tests.agent.harness import ServerProcess
from tests.web.conftest import MakeIssue, visiting
from tests.web.test_log import add_attempt

pytestmark = pytest.mark.web

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}"
MARKDOWN = f"""# {EVIL}
[click](javascript:alert(3)) ![pic](https://evil.example/p.png) <javascript:alert(4)>
[data](data:text/html,<script>alert(5)</script>) [vb](vbscript:alert(6)) [entity](javascript&#58;alert(7))
- {EVIL}
> {EVIL}

| {EVIL} | b |
|---|---|
| {EVIL} | [x](JaVaScRiPt:alert(8)) |

```
{EVIL}
```
"""


async def test_text_of_anyone_comes_out_as_text(browser: Browser, server: ServerProcess, make_issue: MakeIssue) -> None:
    project = await server.call("POST", "/projects", {"name": EVIL, "description": EVIL})
    await server.call(
        "POST", "/repositories", {"name": EVIL, "description": EVIL, "url": "https://e.org/<script>alert(9)</script>"}
    )
    await server.call(
        "POST", "/prompts", {"name": EVIL, "content": "<b>fine</b>", "description": EVIL, "tags": ["<b>"]}
    )
    await server.call("POST", "/credentials", {"title": EVIL, "category": "cursor", "pat": "secret-secret"})
    await server.call("POST", "/users", {"email": "evil@example.org", "password": "correct horse 9", "full_name": EVIL})
    issue_id = await make_issue(EVIL, description=MARKDOWN, project_id=project["id"])
    await add_attempt(
        server, issue_id, [(EVIL, "failed", f"{EVIL}\n\x1b[31m{EVIL}\x1b]8;;javascript:alert(10)\x07x\x1b]8;;\x07")]
    )
    paths = ["/", "/issues", "/issues?view=board", "/nodes", "/projects", "/repositories", "/prompts", "/credentials"]
    async with visiting(browser, server) as (page, _):
        for path in [*paths, "/users", "/audit", f"/issues/{issue_id}", f"/issues?q={EVIL}"]:
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await expect(page.locator(".skeleton")).to_have_count(0)
            # Only the page's own scripts, and no picture at all.
            assert await page.evaluate("() => document.images.length") == 0, path
            assert await page.evaluate(
                "() => [...document.scripts].every(each => each.src.startsWith(location.origin))"
            )
            links = await page.evaluate("() => [...document.links].map(each => each.protocol)")
            assert set(links) <= {"http:", "https:", "mailto:"}, path
        await page.goto(f"/issues/{issue_id}")
        await expect(page.get_by_role("log").locator(".log-text").first).to_contain_text("<script>alert(2)</script>")
        await expect(page.locator(".markdown")).to_contain_text("<img src=x onerror=alert(1)>")
        await expect(page.locator(".issue-title h2")).to_have_text(EVIL)
