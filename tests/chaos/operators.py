"""People at work while things break: they queue, cancel, requeue and delete issues, steer nodes, replace secrets."""

import asyncio
import random
import threading
from typing import Any, Self

import aiohttp
import asyncpg
from chaos.agents import API, World
from chaos.cluster import ADMIN

CAP = 2
_WAITING_AT_MOST = 60


class Operator:
    def __init__(self, world: World, dice: random.Random) -> None:
        self.world, self.dice = world, dice
        self._token = ""
        self.wishes: list[dict[str, Any]] = [{}]

    async def call(self, method: str, path: str, body: Any = None, *, tries: int = 1) -> Any:
        """The document, or None when it was refused or nobody knows what became of it."""
        timeout = aiohttp.ClientTimeout(total=8)
        for _ in range(tries):
            try:
                async with self.world.http.request(
                    method, f"{self.world.url}{API}{path}", json=body, timeout=timeout,
                    headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
                ) as answer:  # fmt: skip
                    document = await answer.json(content_type=None) if answer.status != 204 else {}
                    self.world.history.counts[f"operator {answer.status}"] += 1
                    if answer.status >= 500 and answer.status != 503:
                        self.world.history.problem(f"{method} {path}: {answer.status} {document}")
                    if answer.status < 400:
                        return document
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                self.world.history.counts["unanswered"] += 1
            await asyncio.sleep(0.2)
        return None

    async def prepare(self) -> None:
        """Logs in and makes what has caps: a project, a repository and a credential."""
        session = await self.call("POST", "/auth/login", {"email": ADMIN[0], "password": ADMIN[1]}, tries=50)
        self._token = session["token"]
        project = await self.call("POST", "/projects", {"name": "capped", "max_running": CAP})
        url = "https://git.example.com/acme/shop.git"
        repository = await self.call("POST", "/repositories", {"name": "capped", "url": url, "max_running": CAP})
        await self.call(
            "POST", "/credentials",
            {"title": "capped", "category": "claude-code", "pat": "chaosword0000000000", "max_running": CAP},
        )  # fmt: skip
        self.wishes += [
            {"project_id": project["id"]},
            {"repository_id": repository["id"]},
            {"requires": ["linux"]},
            {"priority": 3},
            {"tool": "claude-code", "project_id": project["id"], "repository_id": repository["id"]},
        ]

    async def queue_issues(self) -> None:
        waiting = await self.call("GET", "/issues?status=pending&limit=1")
        if waiting is not None and waiting["total"] < _WAITING_AT_MOST:
            wishes = [self.dice.choice(self.wishes) for _ in range(10)]
            issues = [{"title": "Break it", "max_attempts": 100, **wish} for wish in wishes]
            created = await self.call("POST", "/issues/bulk", {"issues": issues})
            if created is not None:
                self.world.history.created |= {issue["id"] for issue in created["items"]}

    async def act_on_issue(self) -> None:
        verb, status = self.dice.choice(
            (("cancel", "processing"), ("cancel", "pending"), ("requeue", "failed"), ("requeue", "completed"),
             ("merge", "pending_merge"), ("reject", "pending_merge"))
        )  # fmt: skip
        issues = await self.call("GET", f"/issues?status={status}&limit=5")
        if issues and issues["items"]:
            await self.call("POST", f"/issues/{self.dice.choice(issues['items'])['id']}/{verb}")

    async def delete_issue(self) -> None:
        status = self.dice.choice(("processing", "processing", "pending", "completed"))
        issues = await self.call("GET", f"/issues?status={status}&limit=20")
        if issues and issues["items"]:
            issue_id = self.dice.choice(issues["items"])["id"]
            self.world.history.doomed.add(issue_id)
            if await self.call("DELETE", f"/issues/{issue_id}") is not None:
                self.world.history.deleted.add(issue_id)

    async def replace_secret(self) -> None:
        credentials = await self.call("GET", "/credentials")
        if credentials:
            body = {"pat": f"chaosword{self.dice.randrange(10**10):010}"}
            await self.call("PATCH", f"/credentials/{credentials['items'][0]['id']}", body)

    async def steer_node(self) -> None:
        nodes = await self.call("GET", "/nodes?limit=100")
        if nodes and nodes["items"]:
            node = self.dice.choice(nodes["items"])
            verb, body = self.dice.choice((("drain", None), ("pause", {"for_s": 2}), ("resume", None)))
            await self.call("POST", f"/nodes/{node['id']}/{verb}", body)
            await asyncio.sleep(1)
            await self.call("POST", f"/nodes/{node['id']}/resume", tries=10)

    async def resume_all(self) -> None:
        nodes = await self.call("GET", "/nodes?limit=200", tries=50)
        for node in nodes["items"]:
            await self.call("POST", f"/nodes/{node['id']}/resume", tries=10)

    async def delete_node(self) -> None:
        nodes = await self.call("GET", "/nodes?limit=100")
        if nodes and nodes["items"]:
            await self.call("DELETE", f"/nodes/{self.dice.choice(nodes['items'])['id']}")

    async def link_credential(self) -> None:
        credentials = await self.call("GET", "/credentials")
        nodes = await self.call("GET", "/nodes?limit=100")
        if credentials and nodes:
            for node in self.dice.sample(nodes["items"], min(6, len(nodes["items"]))):
                path = f"/credentials/{credentials['items'][0]['id']}/nodes/{node['id']}"
                await self.call(self.dice.choice(("PUT", "PUT", "PUT", "DELETE")), path)

    async def rotate_key(self) -> None:
        await self.call("POST", "/registration-key/rotate", {"grace_s": self.dice.choice((0, 5))})
        shown = await self.call("GET", "/registration-key", tries=50)
        if shown is not None:
            self.world.key = shown["key"]

    async def revoke_token(self) -> None:
        """A token that was revoked opens nothing, from the moment that the revocation is acknowledged."""
        made = await self.call("POST", "/auth/tokens", {"name": f"chaos {self.dice.random()}"})
        if made is not None and await self.call("DELETE", f"/auth/tokens/{made['id']}") is not None:
            headers = {"Authorization": f"Bearer {made['token']}"}
            try:
                async with self.world.http.get(f"{self.world.url}{API}/projects", headers=headers) as answer:
                    if answer.status < 400:
                        self.world.history.problem(f"a revoked token was accepted: {answer.status}")
            except (aiohttp.ClientError, OSError, TimeoutError):
                return


class Watcher:
    """Looks at each moment's rows with one statement, so at one snapshot: no cap and no slot count is exceeded."""

    _LOOK = """
    SELECT 'project' AS what, project_id::text AS which, count(*) AS n FROM issue
        JOIN project ON project.id = project_id
        WHERE status = 'processing' AND project.max_running IS NOT NULL GROUP BY 2
        HAVING count(*) > min(project.max_running)
    UNION ALL SELECT 'repository', repository_id::text, count(*) FROM issue
        JOIN repository ON repository.id = repository_id
        WHERE status = 'processing' AND repository.max_running IS NOT NULL GROUP BY 2
        HAVING count(*) > min(repository.max_running)
    UNION ALL SELECT 'credential', credential_id::text, count(*) FROM attempt
        JOIN credential ON credential.id = credential_id
        WHERE status IN ('offered', 'running') AND credential.max_running IS NOT NULL GROUP BY 2
        HAVING count(*) > min(credential.max_running)
    UNION ALL SELECT 'node', node_id::text, count(*) FROM attempt JOIN node ON node.id = node_id
        WHERE attempt.status IN ('offered', 'running') GROUP BY 2 HAVING count(*) > min(node.max_slots)
    UNION ALL SELECT 'issue', issue.id::text, count(attempt) FROM issue
        LEFT JOIN attempt ON issue_id = issue.id AND attempt.status IN ('offered', 'running')
        GROUP BY 2 HAVING count(attempt) <> min((issue.status = 'processing')::int)
    UNION ALL SELECT 'maximum', id::text, attempt_count FROM issue WHERE attempt_count > max_attempts
    """

    def __init__(self, world: World, database_url: str) -> None:
        self._world, self._url = world, database_url
        self._done = threading.Event()
        # The agents' own loop is often late, and the moments in between would go unseen.
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="watcher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    async def _run(self) -> None:
        while not self._done.is_set():
            try:
                connection = await asyncpg.connect(self._url, timeout=2, command_timeout=10)
                try:
                    while not self._done.is_set():
                        await self._look(connection)
                        await asyncio.sleep(0.1)
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError):
                await asyncio.sleep(0.2)

    async def _look(self, connection: asyncpg.Connection) -> None:
        for row in await connection.fetch(self._LOOK):
            self._world.history.problem(f"at one moment {row['what']} {row['which']} had {row['n']}")
        self._world.history.counts["snapshots"] += 1
