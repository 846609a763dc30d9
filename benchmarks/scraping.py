"""Scrapes of 100,000 series over sockets, compared with aiohttp serving constant bodies and prometheus_client."""

import asyncio
import base64
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from benchmarks.children import Child, child
from benchmarks.figures import Bound, Figure
from benchmarks.settings import HUNDRED_THOUSAND

CONNECTIONS: Final = 11
"""Connections per server; the speed of one also depends on the kernel."""
ROUNDS: Final = 21
WARM_UP: Final = 4
PEER_ROUNDS: Final = 3
"""Scrapes of prometheus_client, each of which takes a second."""

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True, slots=True)
class Request:
    """A response format to request."""

    text_format: str
    is_gzip: bool

    @property
    def name(self) -> str:
        """Key in the bodies file of `benchmarks.serving`."""
        return f"{self.text_format} {self.is_gzip}"

    @property
    def headers(self) -> dict[str, str]:
        """The request headers."""
        accept = OPENMETRICS if self.text_format == "openmetrics" else "text/plain"
        return {"Accept": accept, "Accept-Encoding": "gzip" if self.is_gzip else "identity"}

    def __str__(self) -> str:
        return (
            f"{'OpenMetrics' if self.text_format == 'openmetrics' else 'text'}, {'gzip' if self.is_gzip else 'plain'}"
        )


REQUESTS: Final = tuple(
    Request(text_format, is_gzip) for text_format in ("text", "openmetrics") for is_gzip in (False, True)
)


class Scraper:
    """A minimal client on one connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._buffer = memoryview(bytearray(1 << 20))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def milliseconds(self, request: Request) -> float:
        """Return the duration from request to last byte."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        started = time.perf_counter()
        self._socket.sendall(f"GET /metrics HTTP/1.1\r\nHost: bench\r\n{lines}\r\n".encode())
        left = self._bytes_left()
        while left > 0:
            left -= self._socket.recv_into(self._buffer)
        return (time.perf_counter() - started) * 1000

    def _bytes_left(self) -> int:
        read = b""
        while b"\r\n\r\n" not in read:
            read += self._socket.recv(1 << 16)
        head, _, body = read.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        return int(fields[b"content-length"]) - len(body)


async def until_ready(url: str) -> None:
    """Wait until an exporter has read all accounts."""
    async with ClientSession() as session:
        while True:
            async with session.get(f"{url}/-/ready") as response:
                if response.status == 200:  # noqa: PLR2004 - OK
                    return
            await asyncio.sleep(0.01)


async def series_of(url: str) -> int:
    """Return the exporter's own count of its series."""
    async with ClientSession() as session, session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("mms_exporter_series "))


async def bodies_file(url: str, folder: Path) -> Path:
    """Write an exporter's response to each request to a file."""
    bodies: dict[str, str] = {}
    async with ClientSession(auto_decompress=False) as session:
        for request in REQUESTS:
            async with session.get(f"{url}/metrics", headers=request.headers) as response:
                bodies[request.name] = base64.b64encode(await response.read()).decode()
    file = folder / "bodies.json"
    file.write_text(json.dumps(bodies), encoding="ascii")
    return file


async def figures() -> list[Figure]:
    """Return the figures of each format."""
    with tempfile.TemporaryDirectory() as folder:
        async with child("simulator", **HUNDRED_THOUSAND) as mms, child("exporter", endpoint=mms.url) as ours:
            await until_ready(ours.url)
            file = str(await bodies_file(ours.url, Path(folder)))
            async with child("constant", file=file) as constant, child("generated", file=file) as generated:
                children = {"ours": ours, "constant": constant, "generated": generated}
                return [figure for request in REQUESTS for figure in _of_request(request, children)]


def _of_request(request: Request, children: Mapping[str, Child]) -> Iterator[Figure]:
    spent: dict[str, list[float]] = {name: [] for name in children}
    for number in range(CONNECTIONS):
        with _scrapers(children) as scrapers:
            for turn in range(WARM_UP + ROUNDS):
                for name, scraper in scrapers.items():
                    if name != "generated" or number * ROUNDS + turn < PEER_ROUNDS:
                        took = scraper.milliseconds(request)
                        spent[name] += [took] if name == "generated" or turn >= WARM_UP else []
    ours, constant, peer = map(statistics.median, spent.values())
    yield Figure(
        what=f"scrape, {request}",
        value=ours,
        beside="generate_latest",
        beside_value=peer,
        bound=Bound("at least", 100),
    )
    yield Figure(
        what=f"scrape, {request}",
        value=ours,
        beside="aiohttp with a constant body",
        beside_value=constant,
        bound=Bound("at most", 1.3),
    )


@contextmanager
def _scrapers(children: Mapping[str, Child]) -> Iterator[dict[str, Scraper]]:
    scrapers = {name: Scraper(each.port) for name, each in children.items()}
    try:
        yield scrapers
    finally:
        for each in scrapers.values():
            each.close()
