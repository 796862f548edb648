"""Everybody who might call, and one of everything to call about, all of it the plain owner's."""

from dataclasses import dataclass
from typing import Any

import httpx2
from litestar import Litestar

from tests.speaking import ADMIN, REGISTRATION_KEY, client_of

PASSWORD = "a good password"
ACTORS = ("nobody", "owner", "other", "inactive", "superuser", "node", "other_node", "registration_key")


@dataclass
class World:
    clients: dict[str, httpx2.AsyncClient]
    ids: dict[str, str]
    foreign: dict[str, str]

    async def create(self, path: str, body: dict[str, Any], by: str = "owner") -> str:
        answer = await self.clients[by].post(f"/api/v1{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]


CREATED = {
    "project_id": ("/projects", {"name": "p"}),
    "repository_id": ("/repositories", {"name": "r", "url": "https://example.org/r"}),
    "prompt_id": ("/prompts", {"name": "p", "content": "x"}),
    "credential_id": ("/credentials", {"title": "c", "category": "cursor", "pat": "a-secret-of-some-length"}),
    "issue_id": ("/issues", {"title": "i"}),
    "token_id": ("/auth/tokens", {"name": "t"}),
}


async def build(app: Litestar) -> World:
    clients = {"nobody": client_of(app), "registration_key": client_of(app, REGISTRATION_KEY)}
    clients["superuser"] = client_of(app, await _log_in(clients["nobody"], *ADMIN))
    ids: dict[str, str] = {}
    for name in ("owner", "other", "inactive", "victim"):
        email = f"{name}@example.com"
        answer = await clients["superuser"].post("/api/v1/users", json={"email": email, "password": PASSWORD})
        ids[name] = answer.json()["id"]
        clients[name] = client_of(app, await _log_in(clients["nobody"], email, PASSWORD))
    await clients["superuser"].patch(f"/api/v1/users/{ids['inactive']}", json={"is_active": False})
    for name in ("node", "other_node"):
        body = {"name": name, "machine_id": f"machine-{name}", "boot_id": "b", "version": "1"}
        answer = await clients["registration_key"].post("/api/v1/nodes/register", json=body)
        clients[name] = client_of(app, answer.json()["node_token"])
        ids[name] = answer.json()["node_id"]
    world = World(clients, ids, {})
    for name, (path, body) in CREATED.items():
        ids[name] = await world.create(path, body)
        world.foreign[name] = await world.create(path, body, by="superuser")
    ids["node_id"], ids["user_id"] = ids["node"], ids["victim"]
    return world


async def close(world: World) -> None:
    for client in world.clients.values():
        await client.aclose()


async def _log_in(client: httpx2.AsyncClient, email: str, password: str) -> str:
    answer = await client.post("/api/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    client.cookies.clear()
    return answer.json()["token"]
