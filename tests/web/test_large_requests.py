"""Requests that are too large, or none: each client reads why, plain or over TLS, and none is heard for long."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.exposition.telemetry import Telemetry
from exporter.web.connection import MAX_BODY_BYTES, MAX_HEARD_BYTES, QUIET_LOOKS, QUIET_SECONDS, Bounds
from exporter.web.handlers import application
from exporter.web.service import Service
from tests.harness import eventually
from tests.web.door import Door, Papers, door
from tests.web.test_gate import DAVE, written

Split = Callable[[bytes], list[bytes]]

LINE = b"x: " + b"y" * 1000 + b"\r\n"
LONG_LINE = b"x: " + b"y" * 7500 + b"\r\n"
CHUNK = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
PIECE_BYTES = 5000
TOO_LARGE = {
    "a head of 90 kB": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + LONG_LINE * 12 + b"\r\n", 431),
    "a head of 90 kB that goes on": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + LONG_LINE * 12, 431),
    "a head of 500 kB": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + LONG_LINE * 63 + b"\r\n", 431),
    "a head of 200 lines": (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + LINE * 200 + b"\r\n", 400),
    "a line of 1 MB": (b"GET /metrics HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n", 400),
    "a path of 1 MB": (b"GET /" + b"y" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "1 MB that is no request": (b"\x16\x03\x01\x00" * 250_000, 400),
    "a body of 70 kB": (b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, 413),
    "a body of 3 MB": (
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000,
        413,
    ),
    "a body of 1 TB": (
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n" + b"x" * 1_000_000,
        413,
    ),
    "a body to /metrics": (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, 413),
    "a body to nothing": (b"PUT /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, 413),
    "a body of chunks": (
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK * 120 + LAST_CHUNK,
        413,
    ),
    "a body of broken chunks": (
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"z" * 70_000,
        400,
    ),
}
WITHIN_BOUNDS = {
    "a head": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + LINE * 60 + b"\r\n",
    "a body": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % MAX_BODY_BYTES
    + b"x" * MAX_BODY_BYTES,
    "a body of chunks": b"POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNK * 8
    + LAST_CHUNK,
}
LAST_REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def context(request: pytest.FixtureRequest, papers: Papers) -> ssl.SSLContext | None:
    """Provide what a client needs where TLS is served; None where it is not."""
    return papers.client_context() if request.param else None


class Reloads:
    """Counts what was asked for."""

    def __init__(self) -> None:
        self.count = 0

    async def reload(self) -> None:
        self.count += 1


@asynccontextmanager
async def large_door(
    folder: Path, context: ssl.SSLContext | None, text: str = ""
) -> AsyncIterator[tuple[Door, Reloads]]:
    """Provide a door with /-/reload."""
    reloads = Reloads()
    app = application(Service(Telemetry(with_process=False)), "/metrics", reloads.reload)
    text += "tls_server_config: {cert_file: server.pem, key_file: server.key}\n" if context else ""
    async with door(written(folder, text) if text else None, app=app) as ours:
        yield ours, reloads


def answer_to(ours: Door, context: ssl.SSLContext | None, pieces: Sequence[bytes]) -> bytes:
    """Send all of a request before anything is read, as most clients do, and return the head of what is answered."""
    answer = b""
    with socket.socket() as connection:
        connection.settimeout(10)
        connection.connect(("127.0.0.1", ours.port))
        with context.wrap_socket(connection, server_hostname="localhost") if context else connection as client:
            for piece in pieces:
                client.sendall(piece)
            while b"\r\n\r\n" not in answer and (read := client.recv(65_536)):
                answer += read
    return answer


def whole(request: bytes) -> list[bytes]:
    return [request]


def pieces_of(request: bytes) -> list[bytes]:
    return [request[start : start + PIECE_BYTES] for start in range(0, len(request), PIECE_BYTES)]


@pytest.mark.parametrize("split", [whole, pieces_of], ids=["at once", "in pieces"])
@pytest.mark.parametrize(("request_bytes", "status"), TOO_LARGE.values(), ids=TOO_LARGE)
async def test_who_sends_too_much_is_told_and_nothing_is_done(
    papers: Papers, context: ssl.SSLContext | None, request_bytes: bytes, status: int, split: Split
) -> None:
    async with large_door(papers.folder, context) as (ours, reloads):
        head = (await asyncio.to_thread(answer_to, ours, context, split(request_bytes))).split(b"\r\n")
        assert head[0].split()[1] == str(status).encode()
        assert b"Connection: close" in head
        assert reloads.count == 0


@pytest.mark.parametrize("request_bytes", WITHIN_BOUNDS.values(), ids=WITHIN_BOUNDS)
async def test_what_is_within_bounds_is_served_and_so_is_what_comes_after(papers: Papers, request_bytes: bytes) -> None:
    async with large_door(papers.folder, None) as (ours, _):
        answers = await ours.send(request_bytes + LAST_REQUEST)
    assert answers.count(b"HTTP/1.1 200 OK") == 2


async def test_a_body_that_is_too_large_is_no_reason_to_look_at_a_password(papers: Papers) -> None:
    text = f"basic_auth_users: {{dave: {DAVE}}}\n"
    async with large_door(papers.folder, None, text) as (ours, _):
        answer = await ours.send(TOO_LARGE["a body of 70 kB"][0])
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_requests_behind_each_other_are_not_too_large_together(papers: Papers) -> None:
    count = 2000
    request = b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
    assert count * len(request) > MAX_BODY_BYTES
    async with large_door(papers.folder, None) as (ours, _):
        answers = await ours.send(request * count + LAST_REQUEST)
    assert answers.count(b"HTTP/1.1 200 OK") == count + 1


async def test_who_is_refused_and_goes_on_a_byte_at_a_time_is_cut(
    papers: Papers, context: ssl.SSLContext | None
) -> None:
    async with large_door(papers.folder, context) as (ours, _):
        reader, writer = await asyncio.open_connection("localhost", ours.port, ssl=context)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"413"
        loop = asyncio.get_running_loop()
        began = loop.time()
        while ours.server.connections:
            assert loop.time() - began < 2 * QUIET_SECONDS * QUIET_LOOKS
            writer.write(b"x")
            await asyncio.sleep(QUIET_SECONDS / 10)
        writer.transport.abort()


async def test_who_is_refused_and_goes_on_as_fast_as_can_be_is_cut(papers: Papers) -> None:
    sent_bytes = 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent_bytes
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent_bytes += 65_536

    async with large_door(papers.folder, None) as (ours, _):
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        with pytest.raises(ConnectionError):
            await flood(writer)
        await eventually(lambda: ours.server.connections == [])
    assert MAX_HEARD_BYTES / 2 < sent_bytes < 4 * MAX_HEARD_BYTES, "what the kernel holds comes on top"


async def test_who_is_refused_makes_room() -> None:
    async with door(bounds=Bounds(connections=1)) as ours:
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"413"
        assert (await ours.send(LAST_REQUEST)).startswith(b"HTTP/1.1 200 ")
        writer.transport.abort()


@pytest.mark.parametrize(
    "headers",
    [b"x: y\r\n" * 70, b"x: " + b"y" * 9000 + b"\r\n"],
    ids=["too many lines", "a line too long"],
)
async def test_a_head_of_less_has_bounds_too(headers: bytes) -> None:
    async with door() as ours:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"
        assert (await ours.send(request)).partition(b"\r\n")[0] == b"HTTP/1.0 400 Bad Request"
