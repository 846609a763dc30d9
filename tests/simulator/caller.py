"""A caller that signs requests, and can corrupt any part of one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
from yarl import URL

from exporter.mms import signing

ROOT = "/api/v1/mms/datasources"
CREDENTIAL = signing.Credential("LTAI-EXAMPLE", "not-a-secret")


@dataclass(frozen=True)
class Reply:
    """A received response."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - tests look into it as they know it to be
        return json.loads(self.raw)

    @property
    def data(self) -> dict[str, Any]:
        assert self.status == 200, self.raw
        data: dict[str, Any] = self.json["data"]
        return data

    @property
    def rows(self) -> list[Any]:
        rows: list[Any] = self.data["objectList"]
        return rows

    @property
    def code(self) -> tuple[int, str]:
        return self.status, self.json["Code"]


class Caller:
    """Calls one simulator."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def get(self, operation: str, path: str = "", **query: object) -> Reply:
        return await self.call(operation, path, query={name: str(value) for name, value in query.items()})

    async def post(self, operation: str, path: str, body: object) -> Reply:
        return await self.call(operation, path, method="POST", body=json.dumps(body).encode())

    async def call(  # noqa: PLR0913 - a test may spoil each of them
        self,
        operation: str,
        path: str = "",
        *,
        method: str = "GET",
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        credential: signing.Credential = CREDENTIAL,
        now: datetime | None = None,
        nonce: str | None = None,
        then: Mapping[str, str | None] | None = None,
    ) -> Reply:
        """Sign and send; `then` changes or removes headers after signing."""
        host = self.url.removeprefix("http://")
        text = signing.canonical_query((query or {}).items())
        headers: dict[str, str | None] = {
            **signing.signed_headers(
                credential,
                operation=operation,
                method=method,
                host=host,
                path=ROOT + path,
                query=text,
                body=body,
                now=now or datetime.now(UTC),
                nonce=nonce or str(uuid4()),
            ),
            **(then or {}),
        }
        return await self.send(method, f"{ROOT}{path}" + (f"?{text}" if text else ""), headers, body)

    async def send(self, method: str, path: str, headers: Mapping[str, str | None], body: bytes | None = None) -> Reply:
        sent = {name: value for name, value in headers.items() if value is not None}
        url = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, url, headers=sent, data=body, allow_redirects=False, skip_auto_headers=("Content-Type",)
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def control(self, method: str, name: str, body: object = None) -> Reply:
        """Call a control endpoint."""
        raw = None if body is None else json.dumps(body).encode()
        return await self.send(method, f"/_simulator/{name}", {}, raw)

    async def everything(self, operation: str, path: str, **query: object) -> list[Any]:
        """Return the rows of all pages of a list."""
        rows: list[Any] = []
        number = 1
        while True:
            reply = await self.get(operation, path, pageNum=number, pageSize=100, **query)
            rows += reply.rows
            if not reply.rows or len(rows) >= reply.data["total"]:
                return rows
            number += 1
