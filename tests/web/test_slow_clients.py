"""Clients that dawdle, flood or ask for too much: each is turned away in time, and scrapers do not notice."""

import asyncio
import ssl
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession

from exporter.web.connection import Bounds
from tests.harness import eventually
from tests.web.door import REFUSED, Door, Papers, ask, door

QUICK = Bounds(head_seconds=0.4, answer_seconds=0.4, idle_seconds=0.4, connections=4)
SMALL = Bounds(connections=4)


async def seconds_until_end(door: Door, *pieces: bytes, trickle: bytes = b"") -> float:
    """Send what is given, then `trickle` again and again, and return how long it took the server to end it."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    began = loop.time()
    writer.writelines(pieces)
    ended = asyncio.create_task(reader.read())
    async with asyncio.timeout(5):
        while not (await asyncio.wait({ended}, timeout=0.02))[0]:
            writer.write(trickle)
    writer.close()
    return loop.time() - began


@pytest.mark.parametrize(
    ("sent", "trickle"),
    [
        ((), b""),
        ((b"GET /metrics HTTP/1.1\r\nHost: x\r\n",), b""),
        ((b"GET /metrics HTTP/1.1\r\nHost: x\r\nx: ",), b"y"),
        ((b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics",), b"x"),
        ((b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n",), b""),
        ((b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n",), b"x"),
    ],
    ids=["silent", "half a head", "a byte at a time", "half a second head", "idle", "a body at a time"],
)
async def test_a_client_that_dawdles_is_ended(sent: tuple[bytes, ...], trickle: bytes) -> None:
    async with door(bounds=QUICK) as ours:
        assert 0.2 < await seconds_until_end(ours, *sent, trickle=trickle) < 3


async def test_a_handshake_that_never_begins_is_ended(papers: Papers) -> None:
    file = papers.folder / "web.yml"
    file.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", encoding="utf-8")
    async with door(file, QUICK) as ours:
        assert await seconds_until_end(ours) < 2
        assert await seconds_until_end(ours, b"\x16\x03\x01") < 2
        assert await ask(ours.port, papers.client_context()) == 200


async def test_a_reader_that_does_not_read_is_ended() -> None:
    bounds = Bounds(head_seconds=1, answer_seconds=0.5)
    async with door(bounds=bounds) as ours:
        _, writer = await asyncio.open_connection("127.0.0.1", ours.port, limit=1)
        for _ in range(20):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 90)
        await eventually(lambda: len(ours.server.connections) == 1)
        await eventually(lambda: ours.server.connections == [])
        writer.transport.abort()


async def test_clients_that_say_nothing_keep_no_scraper_out() -> None:
    async with door(bounds=SMALL) as ours, AsyncExitStack() as stack:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
            stack.callback(writer.close)
        assert [await ask(ours.port) for _ in range(5)] == [200] * 5


async def test_readers_that_do_not_read_make_room() -> None:
    bounds = Bounds(head_seconds=0.3, connections=2)
    async with door(bounds=bounds) as ours, AsyncExitStack() as stack:
        for _ in range(bounds.connections):
            _, writer = await asyncio.open_connection("127.0.0.1", ours.port, limit=1)
            stack.callback(lambda writer=writer: writer.transport.abort())  # type: ignore[misc]  # a default of a lambda
            for _ in range(20):
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 90)
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while await ask(ours.port) != 200:  # noqa: ASYNC110 - a client is told by its answer only
                await asyncio.sleep(0.05)


async def test_a_scraper_that_is_connected_keeps_its_connection_under_a_flood() -> None:
    async with door(bounds=SMALL) as ours, AsyncExitStack() as stack:
        reader, scraper = await asyncio.open_connection("127.0.0.1", ours.port)
        stack.callback(scraper.close)
        for _ in range(20):
            scraper.write(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
            stack.callback(writer.close)


async def test_beyond_the_cap_newcomers_are_turned_away_and_come_in_when_one_leaves() -> None:
    async with door(bounds=SMALL) as ours:
        async with AsyncExitStack() as stack:
            for _ in range(SMALL.connections):
                scraper = await stack.enter_async_context(ClientSession())
                async with scraper.get(f"http://127.0.0.1:{ours.port}/metrics") as response:
                    await response.read()
            assert await ask(ours.port) == REFUSED
        await eventually(lambda: ours.server.connections == [])
        assert await ask(ours.port) == 200


LINE = b"x: " + b"y" * 1000 + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (LINE * 60, b"HTTP/1.1 200 OK"),
        (b"x: y\r\n" * 70, b"HTTP/1.0 400 Bad Request"),
        (b"x: " + b"y" * 9000 + b"\r\n", b"HTTP/1.0 400 Bad Request"),
        (LINE * 200, b""),
    ],
    ids=["large", "too many lines", "a line too long", "too large"],
)
async def test_a_head_has_bounds(headers: bytes, answer: bytes) -> None:
    async with door() as ours:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"
        assert (await ours.send(request)).partition(b"\r\n")[0] == answer


async def test_a_flood_of_handshakes_that_fail_leaves_nothing_behind(papers: Papers) -> None:
    file = papers.folder / "web.yml"
    file.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", encoding="utf-8")
    stranger = ssl.create_default_context()
    async with door(file, SMALL) as ours:
        for _ in range(20):
            assert await ask(ours.port, stranger) == REFUSED
            assert await ours.send(b"GET / HTTP/1.1\r\n\r\n") == b""
        assert await ask(ours.port, papers.client_context()) == 200
        await eventually(lambda: ours.server.connections == [])
