"""The demo as an operator: it speaks the HTTP API like anybody, and waits when the server is away."""

import asyncio
from typing import Any

import httpx2

_PAUSE_S = 0.3


class Operator:
    def __init__(self, server_url: str, email: str, password: str) -> None:
        self._login = {"email": email, "password": password}
        self._http = httpx2.AsyncClient(base_url=f"{server_url}/api/v1", timeout=10)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def log_in(self) -> None:
        answer = await self.call("POST", "/auth/login", self._login)
        self._http.headers["Authorization"] = f"Bearer {answer['token']}"

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON; None when it has no body. Raises `httpx2.HTTPStatusError` for a refusal."""
        while True:
            try:
                answer = await self._http.request(method, path, json=body)
            except httpx2.TransportError:
                await asyncio.sleep(_PAUSE_S)
                continue
            if answer.status_code == 429 or answer.status_code >= 500:
                await asyncio.sleep(_PAUSE_S)
                continue
            answer.raise_for_status()
            return answer.json() if answer.content else None
