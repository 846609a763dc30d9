"""Readers that are slow, without TLS and with it: little waits for each, and what waits counts as an answer."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiohttp import Payload, web
from aiohttp.abc import AbstractStreamWriter

from exporter.exposition.telemetry import Telemetry
from exporter.web.connection import Bounds
from exporter.web.handlers import CHUNK_BYTES, Shared, application
from exporter.web.service import Service
from exporter.web.unsent import WAITING_BYTES, unsent_bytes
from tests.harness import eventually
from tests.web.door import REFUSED, Door, Papers, ask, door
from tests.web.test_gate import written

Context = ssl.SSLContext | None
Answering = Callable[[web.Request], Awaitable[web.Response]]

KERNEL_BYTES = 4096
ONE_CHUNK = b"x" * (CHUNK_BYTES // 2)
"""TLS passes it on at once, and it waits below."""
MANY_CHUNKS = b"x" * 20 * CHUNK_BYTES
LAYER_BYTES = 1.01 * (CHUNK_BYTES + WAITING_BYTES)
"""What one layer may hold: a chunk on top of what just lets one more be made; TLS adds a little to what it carries."""


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def papers_or_none(request: pytest.FixtureRequest, papers: Papers) -> Papers | None:
    """Provide papers where TLS is served."""
    return papers if request.param else None


@asynccontextmanager
async def large_door(
    papers: Papers | None, answering: Answering, bounds: Bounds
) -> AsyncIterator[tuple[Door, Context]]:
    """Provide a door with an answer at /large, and what a client needs there."""
    app = application(Service(Telemetry(with_process=False)), "/metrics", None)
    app.router.add_get("/large", answering)
    text = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
    file = written(papers.folder, text) if papers else None
    async with door(file, bounds, app) as ours:
        yield ours, papers.client_context() if papers else None


def answers(body: bytes) -> Answering:
    """Return what answers with `body`, of which the kernel takes little."""

    async def large(request: web.Request) -> web.Response:
        transport = cast("asyncio.Transport", request.transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        return web.Response(body=Shared(body))

    return large


class Reader:
    """Reads what it is told to and no byte more: a stream of asyncio's would take what it can get."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    async def read(self, size: int) -> bytes:
        """Return as many bytes of the answer."""
        return await asyncio.to_thread(self._read, size)

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            piece = self._connection.recv(size - len(read))
            assert piece, "the connection ended"
            read += piece
        return read


@asynccontextmanager
async def slow_reader(ours: Door, context: Context) -> AsyncIterator[Reader]:
    """Provide who asked for /large, and reads nothing of it yet."""

    def asked() -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", ours.port))
        wrapped = context.wrap_socket(connection, server_hostname="localhost") if context else connection
        wrapped.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        return wrapped

    with await asyncio.to_thread(asked) as connection:
        yield Reader(connection)


async def at_rest(ours: Door) -> asyncio.Transport:
    """Return the only connection once something waits, and no more goes out."""
    seen: list[int] = []

    def is_at_rest() -> bool:
        seen.append(sum(unsent_bytes(each.transport) for each in ours.server.connections if each.transport))
        return seen[-1] > 0 and len(seen) > 10 and len(set(seen[-10:])) == 1

    await eventually(is_at_rest)
    return cast("asyncio.Transport", ours.server.connections[0].transport)


async def test_a_slow_reader_holds_a_chunk_a_layer(papers_or_none: Papers | None) -> None:
    async with (
        large_door(papers_or_none, answers(MANY_CHUNKS), Bounds()) as (ours, context),
        slow_reader(ours, context),
    ):
        held = unsent_bytes(await at_rest(ours))
    assert CHUNK_BYTES / 2 < held < LAYER_BYTES * (2 if papers_or_none else 1)


async def test_what_waits_below_tls_is_counted(papers: Papers) -> None:
    async with large_door(papers, answers(ONE_CHUNK), Bounds()) as (ours, context), slow_reader(ours, context):
        transport = await at_rest(ours)
        assert transport.get_write_buffer_size() == 0
        assert unsent_bytes(transport) > len(ONE_CHUNK) / 2


async def test_a_reader_that_does_not_read_the_end_is_ended(papers_or_none: Papers | None) -> None:
    bounds = Bounds(head_seconds=5, answer_seconds=0.5, idle_seconds=600)
    async with large_door(papers_or_none, answers(ONE_CHUNK), bounds) as (ours, context), slow_reader(ours, context):
        await eventually(lambda: ours.server.requests_count == 1)
        await eventually(lambda: ours.server.connections == [])


async def test_a_reader_that_reads_the_end_makes_no_room(papers_or_none: Papers | None) -> None:
    bounds = Bounds(connections=1, head_seconds=60)
    async with (
        large_door(papers_or_none, answers(ONE_CHUNK), bounds) as (ours, context),
        slow_reader(ours, context) as reader,
    ):
        await at_rest(ours)
        assert await ask(ours.port, context) == REFUSED
        assert (await reader.read(len(ONE_CHUNK))).startswith(b"HTTP/1.1 200 ")


class Halting(Payload):
    """What is read as fast as it is written, and written in two steps."""

    _size = 2

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return it as text."""
        return b"12".decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write one byte, and one more once the event is set."""
        await writer.write(b"1")
        await self._value.wait()
        await writer.write(b"2")


async def test_an_answer_of_which_nothing_waits_yet_makes_no_room(papers_or_none: Papers | None) -> None:
    may_go_on = asyncio.Event()

    async def halting(_: web.Request) -> web.Response:
        return web.Response(body=Halting(may_go_on))

    async with (
        large_door(papers_or_none, halting, Bounds(connections=1, head_seconds=60)) as (ours, context),
        slow_reader(ours, context) as reader,
    ):
        head = b""
        while not head.endswith(b"\r\n\r\n1"):
            head += await reader.read(1)
        assert await ask(ours.port, context) == REFUSED
        may_go_on.set()
        assert await reader.read(1) == b"2"
