"""Misbehaving scrapers on the real process: they delay others by a bounded time and add no log line."""

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector

from exporter.simulator import Simulator, apply_event
from exporter.simulator.world import events
from tests.processes import Running, serving, write_config
from tests.soak.resources import resources_of

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW_SCRAPERS = 30
REQUESTS_OF_ONE = 20
MOST_CONNECTIONS = 256
"""As documented in `docs/web-config.md`, like the following."""
WAITING_BYTES = 320 * 1024
"""Largest amount of buffered bytes per reader."""
MOST_OF_KERNEL_BYTES = 4 * 2**20
"""Largest amount of sent and unread bytes in the kernel (`net.ipv4.tcp_wmem`)."""
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
async def exporter(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Running]:
    """Provide the program with a page of 0.5 MB."""
    for _ in range(100):
        apply_event(simulator.world, events.AddSource(moving=True))
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as running:
        await running.until_ready()
        yield running


@contextmanager
def connected(exporter: Running, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    """Provide a connection closed with RST, optionally with small buffer."""
    host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
    with socket.socket() as connection:
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)  # before the window is announced
        connection.connect((host, int(port)))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        yield connection


async def test_early_disconnects_log_nothing(exporter: Running) -> None:
    for _ in range(100):
        with connected(exporter) as connection:
            connection.sendall(REQUEST)
    await exporter.metrics()
    ended = await exporter.end()
    assert "Traceback" not in ended.err
    assert "level=error" not in ended.err.lower()


async def test_a_lack_of_file_descriptors_delays_clients_until_it_ends(exporter: Running) -> None:
    pid = exporter.process.pid
    used, (_, most) = resources_of(pid), resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used.files + used.sockets + 5, most))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(connected(exporter))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await exporter.get("/-/healthy")
    assert (await exporter.get("/-/healthy"))[0] == 200
    assert 'msg="accept failed" reason="Too many open files"' in (await exporter.end()).err


async def test_200_concurrent_scrapes(exporter: Running) -> None:
    """They get the same page, except for the exporter's own series."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def scrape() -> bytes:
            async with session.get(f"{exporter.urls[0]}/metrics") as response:
                assert response.status == 200
                return (await response.read()).partition(b"# HELP mms_api_")[0]

        async with asyncio.timeout(30):
            pages = await asyncio.gather(*(scrape() for _ in range(200)))
    assert len(pages[0]) > 400_000
    assert set(pages) == {pages[0]}


async def test_slow_readers_delay_nobody_and_share_one_page(exporter: Running) -> None:
    """Here they read one byte and then nothing until the end of the test, which is slower still."""
    size = len((await exporter.get("/metrics"))[1])
    before = resources_of(exporter.process.pid).resident_bytes
    with ExitStack() as stack:
        for _ in range(SLOW_SCRAPERS):
            connection = stack.enter_context(connected(exporter, receive_bytes=4096))
            connection.sendall(REQUEST * REQUESTS_OF_ONE)
            assert connection.recv(1) == b"H"
        async with asyncio.timeout(30):
            for _ in range(20):
                await exporter.metrics()
        grown = resources_of(exporter.process.pid).resident_bytes - before
    assert size * REQUESTS_OF_ONE > 2 * MOST_OF_KERNEL_BYTES, "the kernel does not take what they do not read"
    assert grown < SLOW_SCRAPERS * WAITING_BYTES


async def test_2000_connections_are_limited_and_leave_nothing_behind(exporter: Running) -> None:
    before = resources_of(exporter.process.pid)
    most_sockets = 0
    async with asyncio.timeout(60):
        with ExitStack() as stack:
            for number in range(2000):
                stack.enter_context(connected(exporter))
                if number % 50 == 0:
                    assert (await exporter.metrics()).value("mms_up") == 1
                    most_sockets = max(most_sockets, resources_of(exporter.process.pid).sockets)
    assert most_sockets <= before.sockets + MOST_CONNECTIONS

    def is_as_before() -> bool:
        now = resources_of(exporter.process.pid)
        return (now.threads, now.files) <= (before.threads, before.files) and now.sockets <= before.sockets + 8

    async with asyncio.timeout(30):
        while not is_as_before():  # noqa: ASYNC110 - the other process sets no event of ours
            await asyncio.sleep(0.05)
    assert "Traceback" not in (await exporter.end()).err
