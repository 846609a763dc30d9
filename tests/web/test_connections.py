"""Limits of slow, silent and excess clients; scrapers are still served."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from exporter.app.service import Service
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from exporter.web.handlers import CHUNK_BYTES, SharedPayload, application
from exporter.web.listener import ConnectionLimits
from tests.harness import eventually
from tests.processes import serving, write_config
from tests.web.http_fixture import REFUSED, Certificates, RunningServer, ask, running_server
from tests.web.test_middleware import written

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
SHORT = ConnectionLimits(head_seconds=0.4, response_seconds=0.4, idle_seconds=0.4)
SMALL = ConnectionLimits(connections=4)
BODY = b"x" * 20 * CHUNK_BYTES
KERNEL_BYTES = 4096
HEAD = b"GET /large HTTP/1.1\r\nHost: x\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Visit = Callable[..., Awaitable[Streams]]


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    """Provide certificates if TLS is served."""
    return certificates if request.param else None


@asynccontextmanager
async def large_server(
    tls: Certificates | None, limits: ConnectionLimits
) -> AsyncIterator[tuple[RunningServer, Visit]]:
    """Provide a server with a large response at /large, small kernel buffers, and a function that connects."""

    async def large(request: web.Request) -> web.Response:
        transport = cast("asyncio.Transport", request.transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        return web.Response(body=SharedPayload(BODY))

    app = application(Service(Telemetry(with_process=False)), "/metrics", None)
    app.router.add_get("/large", large)
    context = tls.client_context() if tls else None
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(running_server(written(tls.folder, TLS) if tls else None, limits, app))

        async def visit(
            sent: bytes = b"", *, handshake: bool = True
        ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            """Connect and send; the streams buffer a few kB only."""
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", ours.port))
            used, name = (context, "localhost") if context and handshake else (None, None)
            reader, writer = await asyncio.open_connection(
                sock=connection, limit=KERNEL_BYTES, ssl=used, server_hostname=name
            )
            stack.callback(end, writer)
            writer.write(sent)
            return reader, writer

        yield ours, visit


def end(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(30):
        return int((await reader.readuntil(b"\r\n\r\n")).split()[1])


@pytest.mark.parametrize(
    ("sent", "trickle"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: ", b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nx: ", b"y"),
        (b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", b""),
        (b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /", b"y"),
        (HEAD + b"\r\n", b""),
        (HEAD + b"\r\n" + b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, b"y"),
    ],
    ids=["silent", "half a head", "slow head", "idle", "slow second head", "reads nothing", "pipelines, reads nothing"],
)
async def test_a_slow_client_is_disconnected(tls: Certificates | None, sent: bytes, trickle: bytes) -> None:
    async with large_server(tls, SHORT) as (ours, visit):
        _, writer = await visit(sent)
        await eventually(lambda: len(ours.server.connections) == 1)
        async with asyncio.timeout(20):
            while ours.server.connections:
                writer.write(trickle)
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("length", [b"Content-Length: 60000", b"Transfer-Encoding: chunked"])
async def test_a_slow_body_gets_a_response_at_once_and_its_client_is_disconnected(length: bytes) -> None:
    async with large_server(None, ConnectionLimits()) as (ours, visit):
        reader, writer = await visit(b"POST /-/healthy HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
        assert await status(reader) == 405
        async with asyncio.timeout(20):
            while ours.server.connections:
                writer.write(b"1\r\nx\r\n")
                await asyncio.sleep(0.02)


async def test_a_handshake_that_does_not_end_is_disconnected(certificates: Certificates) -> None:
    async with large_server(certificates, ConnectionLimits(head_seconds=1)) as (ours, visit):
        reader, _ = await visit(b"\x16\x03\x01", handshake=False)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        assert await ask(ours.port, certificates.client_context()) == 200


async def test_a_slow_reader_gets_the_complete_response(tls: Certificates | None) -> None:
    async with large_server(tls, ConnectionLimits(head_seconds=0.1)) as (_, visit):
        reader, _ = await visit(HEAD + b"Connection: close\r\n\r\n")
        await asyncio.sleep(0.5)
        assert await status(reader) == 200
        assert await reader.read() == BODY


async def test_a_slow_reader_holds_at_most_one_chunk() -> None:
    async with large_server(None, ConnectionLimits()) as (ours, visit):
        await visit(HEAD + b"\r\n")
        await eventually(lambda: bool(ours.server.connections and ours.server.connections[0].writing_paused))
        transport = ours.server.connections[0].transport
        assert transport is not None
        assert transport.get_write_buffer_size() < 1.1 * CHUNK_BYTES


async def test_idle_and_silent_connections_are_closed_for_new_ones(tls: Certificates | None) -> None:
    async with large_server(tls, SMALL) as (ours, visit):
        for _ in range(5 * SMALL.connections):
            await visit(handshake=False)
            reader, _ = await visit(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await status(reader) == 200
        assert len(ours.server.connections) <= SMALL.connections


async def test_the_longest_idle_connection_is_closed_for_a_new_one() -> None:
    request = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with large_server(None, SMALL) as (ours, visit):
        visits = [await visit() for _ in range(SMALL.connections)]
        for reader, writer in (*visits, visits[0]):
            writer.write(request)
            assert await status(reader) == 200
        assert await ask(ours.port) == 200
        visits[0][1].write(request)
        assert await status(visits[0][0]) == 200
        assert await visits[1][0].read() == b""


async def test_a_response_that_is_being_read_is_not_aborted_for_new_connections(tls: Certificates | None) -> None:
    async with large_server(tls, SMALL) as (_, visit):
        reader, _ = await visit(HEAD + b"Connection: close\r\n\r\n")
        assert await status(reader) == 200
        for _ in range(5 * SMALL.connections):
            await visit(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", handshake=False)
        assert await reader.read() == BODY


async def test_connections_that_read_nothing_are_closed_for_new_ones(tls: Certificates | None) -> None:
    # Only after a delay: they may be slow scrapers.
    context = tls.client_context() if tls else None
    async with large_server(tls, ConnectionLimits(head_seconds=1, connections=2)) as (ours, visit):
        for _ in range(2):
            await visit(HEAD + b"\r\n")
        await eventually(lambda: ours.server.requests_count == 2)
        assert await ask(ours.port, context) == REFUSED
        async with asyncio.timeout(30):
            while await ask(ours.port, context) != 200:  # noqa: ASYNC110 - a client sees only its response
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "head",
    [
        b"x: " + b"y" * 9000 + b"\r\n\r\n",
        b"x: y\r\n" * 70 + b"\r\n",
        (b"x: " + b"y" * 8000 + b"\r\n") * 70,
        b"bad header\r\n\r\n",
    ],
    ids=["a long line", "many lines", "500 kB", "no header"],
)
async def test_a_head_that_is_too_large_or_malformed_is_rejected(tls: Certificates | None, head: bytes) -> None:
    async with large_server(tls, ConnectionLimits()) as (ours, visit):
        reader, _ = await visit(HEAD + head)
        assert await status(reader) == 400
        await eventually(lambda: ours.server.connections == [])


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000, b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"],
    ids=["300 kB", "chunks"],
)
async def test_a_body_is_ignored(tls: Certificates | None, body: bytes) -> None:
    async with large_server(tls, ConnectionLimits()) as (_, visit):
        reader, writer = await visit(b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n" + body)
        assert await status(reader) == 200
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await status(reader) == 200


async def test_200_scrapers_are_served_next_to_2000_silent_and_slow_connections(
    tmp_path: Path, simulator: Simulator, tls: Certificates | None
) -> None:
    context = tls.client_context() if tls else None
    flags = [f"--config.file={write_config(tmp_path, simulator.url)}"]
    flags += [f"--web.config.file={written(tls.folder, TLS)}"] if tls else []
    async with serving(*flags) as running, AsyncExitStack() as stack:
        port = int(running.urls[0].rpartition(":")[2])
        for number in range(2000):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall((b"", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")[number % 3])
        statuses = [await ask(port, context, path="/metrics") for _ in range(20)]
        statuses += await asyncio.gather(*(ask(port, context, path="/metrics") for _ in range(200)))
        assert set(statuses) == {200}
        assert memory_of(running.process.pid) < 250 * 1024 * 1024


def memory_of(process: int) -> int:
    """Return the peak resident memory of a process in bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
