"""Well-behaved and misbehaving scrapers: all formats, slow readers, early disconnects, invalid HTTP."""

import asyncio
import gzip
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from aiohttp import ClientSession

from tests.exposition_parser import read

ACCEPTS: Final = ("", "text/plain", "application/openmetrics-text; version=1.0.0", "text/html, */*;q=0.1")
PATHS: Final = ("/", "/-/ready", "/nothing", "/metrics?debug=1")
SLOWEST_HEALTHY_SECONDS: Final = 5.0


@dataclass
class Scrapers:
    """All scrapers of one exporter, with their counts."""

    url: str
    rng: Random
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Scrape until cancelled.

        Raises: AssertionError if a response is wrong.
        """
        async with ClientSession(self.url, auto_decompress=False) as session, asyncio.TaskGroup() as group:
            ways: list[Callable[[ClientSession], Awaitable[None]]] = [self._scrape] * 3
            ways += [
                self._get_pages,
                self._get_health,
                self._read_slowly,
                self._read_slowly,
                self._disconnect,
                self._send_garbage,
            ]
            for way in ways:
                group.create_task(self._repeat(way, session))

    async def _repeat(self, way: Callable[[ClientSession], Awaitable[None]], session: ClientSession) -> None:
        while True:
            await way(session)
            self.counts[way.__name__.strip("_")] += 1
            await asyncio.sleep(self.rng.uniform(0, 0.5))

    async def _scrape(self, session: ClientSession) -> None:
        headers = {"accept": self.rng.choice(ACCEPTS), "accept-encoding": self.rng.choice(("gzip", "identity"))}
        async with session.get("/metrics", headers=headers) as response:
            body = await response.read()
            assert response.status == 200
            page = gzip.decompress(body) if response.headers.get("content-encoding") == "gzip" else body
            is_openmetrics = "openmetrics" in response.headers["content-type"]
        assert page.endswith(b"# EOF\n") == is_openmetrics
        assert read(page).value("mms_exporter_config_last_reload_successful") is not None

    async def _get_pages(self, session: ClientSession) -> None:
        async with session.get(self.rng.choice(PATHS)) as response:
            await response.read()
            assert response.status in {200, 404, 503}

    async def _get_health(self, session: ClientSession) -> None:
        async with asyncio.timeout(SLOWEST_HEALTHY_SECONDS), session.get("/-/healthy") as response:
            assert response.status == 200, await response.text()

    async def _read_slowly(self, _: ClientSession) -> None:
        """Read slowly, and disconnect before the end."""
        reader, writer = await self._connection()
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        for _byte in range(self.rng.randrange(100)):
            if not await reader.read(1):
                break
            await asyncio.sleep(0.05)
        writer.transport.abort()

    async def _disconnect(self, _: ClientSession) -> None:
        """Disconnect without a request or in the middle of one."""
        _reader, writer = await self._connection()
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[: self.rng.randrange(30)])
        await asyncio.sleep(self.rng.uniform(0, 1))
        writer.transport.abort()

    async def _send_garbage(self, _: ClientSession) -> None:
        """Send bytes that are not HTTP."""
        reader, writer = await self._connection()
        writer.write(self.rng.randbytes(self.rng.randrange(1, 2000)) + b"\r\n\r\n")
        try:
            async with asyncio.timeout(2):
                answer = await reader.read(12)
            assert answer in {b"", b"HTTP/1.1 400", b"HTTP/1.0 400"}, answer
        except (TimeoutError, ConnectionError):
            pass
        writer.transport.abort()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return await asyncio.open_connection(host, int(port), limit=1 << 12)
