"""Clients that dawdle, flood or ask for too much: each is turned away in time, and scrapers do not notice."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from exporter.exposition.telemetry import Telemetry
from exporter.web.connection import Bounds
from exporter.web.handlers import application
from exporter.web.service import Service
from tests.harness import eventually
from tests.web.door import REFUSED, Door, Papers, ask, basic, door
from tests.web.test_gate import DAVE, written

QUICK = Bounds(head_seconds=0.4, answer_seconds=0.4, idle_seconds=0.4, connections=4)
SMALL = Bounds(connections=4)


async def seconds_until_end(door: Door, *pieces: bytes, trickle: bytes = b"") -> float:
    """Send what is given, then `trickle` again and again, and return how long it took the server to end it."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    began = loop.time()
    writer.writelines(pieces)
    ended = asyncio.create_task(reader.read())
    async with asyncio.timeout(20):
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
        ((b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",), b"x"),
        ((b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",), b"1\r\nx\r\n"),
    ],
    ids=["silent", "half a head", "a byte at a time", "half a second head", "idle", "a body", "a body of chunks"],
)
async def test_a_client_that_dawdles_is_ended(sent: tuple[bytes, ...], trickle: bytes) -> None:
    async with door(bounds=QUICK) as ours:
        assert await seconds_until_end(ours, *sent, trickle=trickle) > 0.2


@pytest.mark.parametrize("sent", [(), (b"\x16\x03\x01",)], ids=["silent", "three bytes"])
async def test_a_handshake_that_never_begins_is_ended(papers: Papers, sent: tuple[bytes, ...]) -> None:
    file = papers.folder / "web.yml"
    file.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}\n", encoding="utf-8")
    async with door(file, Bounds(head_seconds=1)) as ours:
        assert await seconds_until_end(ours, *sent) > 0.5
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
        async with asyncio.timeout(30):
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


class Visit:
    """A connection that stays, from an address of its choice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, path: str, *headers: str) -> None:
        lines = (f"HEAD {path} HTTP/1.1", "Host: x", *headers, "", "")
        self._writer.write("\r\n".join(lines).encode())

    async def status(self) -> int:
        """Return the status of the next answer."""
        async with asyncio.timeout(30):
            return int((await self._reader.readuntil(b"\r\n\r\n")).split()[1])

    async def asks(self, path: str, *headers: str) -> int:
        self.ask(path, *headers)
        return await self.status()

    def end(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def visits(ours: Door) -> AsyncIterator[Callable[..., Awaitable[Visit]]]:
    """Provide what connects, as from an address; all end with the context."""
    async with AsyncExitStack() as stack:

        async def visit(address: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Visit:
            here, there = (address, 0), ("127.0.0.1", ours.port)
            reader, writer = await asyncio.open_connection(*there, local_addr=here, ssl=context)
            stack.callback((made := Visit(reader, writer)).end)
            return made

        yield visit


@asynccontextmanager
async def door_with_long_answers(bounds: Bounds) -> AsyncIterator[tuple[Door, asyncio.Event]]:
    """Provide a door, whose /long is answered once the event is set."""
    app, may_end = application(Service(Telemetry(with_process=False)), "/metrics", None), asyncio.Event()

    async def long(_: web.Request) -> web.Response:
        await may_end.wait()
        return web.Response()

    app.router.add_get("/long", long)
    async with door(bounds=bounds, app=app) as ours:
        yield ours, may_end


@pytest.mark.parametrize("path", ["/metrics", "/nothing"])
async def test_idle_connections_keep_no_scraper_out(path: str) -> None:
    async with door(bounds=SMALL) as ours, visits(ours) as visit:
        for _ in range(5 * SMALL.connections):
            await (await visit()).asks(path)
        assert len(ours.server.connections) == SMALL.connections
        assert [await ask(ours.port) for _ in range(5)] == [200] * 5


async def test_the_connection_that_is_idle_longest_makes_room() -> None:
    async with door(bounds=SMALL) as ours, visits(ours) as visit:
        guests = [await visit() for _ in range(SMALL.connections)]
        for guest in (*guests, guests[0]):
            assert await guest.asks("/metrics") == 200
        assert await ask(ours.port) == 200
        assert await guests[0].asks("/metrics") == 200
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await guests[1].asks("/metrics")


async def test_a_connection_in_the_middle_of_an_answer_makes_no_room() -> None:
    async with door_with_long_answers(SMALL) as (ours, may_end), visits(ours) as visit:
        answered = await visit()
        answered.ask("/long")
        for _ in range(5 * SMALL.connections):
            assert await (await visit()).asks("/nothing") == 404
        may_end.set()
        assert await answered.status() == 200


async def test_where_all_are_in_the_middle_of_an_answer_newcomers_are_turned_away_until_one_ends() -> None:
    async with door_with_long_answers(SMALL) as (ours, may_end), visits(ours) as visit:
        for _ in range(SMALL.connections):
            (await visit()).ask("/long")
        await eventually(lambda: ours.server.requests_count == SMALL.connections)
        assert await ask(ours.port) == REFUSED
        may_end.set()
        async with asyncio.timeout(30):
            while await ask(ours.port) != 200:  # noqa: ASYNC110 - a client is told by its answer only
                await asyncio.sleep(0.01)


async def test_the_address_that_has_most_connections_makes_room() -> None:
    async with door(bounds=SMALL) as ours, visits(ours) as visit:
        scraper = await visit("127.0.0.2")
        assert await scraper.asks("/metrics") == 200
        for _ in range(5 * SMALL.connections):
            await (await visit()).asks("/nothing")
        assert await scraper.asks("/metrics") == 200


async def test_who_asked_stays_where_others_of_its_address_asked_nothing() -> None:
    async with door(bounds=SMALL) as ours, visits(ours) as visit:
        scraper = await visit()
        assert await scraper.asks("/metrics") == 200
        for _ in range(5 * SMALL.connections):
            await visit()
        assert await scraper.asks("/metrics") == 200


async def test_one_address_does_not_get_all_places() -> None:
    bounds = Bounds(connections=4, connections_of_one=3)
    async with door_with_long_answers(bounds) as (ours, _), visits(ours) as visit:
        for count in range(bounds.connections_of_one):
            (await visit()).ask("/long")
            await eventually(lambda count=count: ours.server.requests_count == count + 1)  # type: ignore[misc]  # likewise
        assert await ask(ours.port) == REFUSED
        assert await (await visit("127.0.0.2")).asks("/metrics") == 200


async def test_who_showed_a_login_stays_where_others_show_none(tmp_path: Path) -> None:
    """Though its address has most connections, and it is idle longest."""
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    login = f"Authorization: {basic('dave', 'dave123')}"
    async with door(file, SMALL) as ours, visits(ours) as visit:
        scrapers = [await visit() for _ in range(SMALL.connections - 1)]
        for scraper in scrapers:
            assert await scraper.asks("/metrics", login) == 200
        for _ in range(5 * SMALL.connections):
            assert await (await visit("127.0.0.2")).asks("/metrics") == 401
        assert [await scraper.asks("/metrics", login) for scraper in scrapers] == [200] * len(scrapers)


async def test_who_showed_a_certificate_stays_where_others_show_none(papers: Papers) -> None:
    text = "cert_file: server.pem, key_file: server.key, client_ca_file: clients_ca.pem"
    file = written(papers.folder, f"tls_server_config: {{{text}, client_auth_type: VerifyClientCertIfGiven}}\n")
    async with door(file, SMALL) as ours, visits(ours) as visit:
        scraper = await visit(context=papers.client_context("client"))
        assert await scraper.asks("/metrics") == 200
        for _ in range(2 * SMALL.connections):
            assert await (await visit(context=papers.client_context())).asks("/metrics") == 200
        assert await scraper.asks("/metrics") == 200


async def test_who_makes_room_before_there_is_a_handshake_leaves_no_socket_behind(papers: Papers) -> None:
    """The handshake waits while the file is being written; a socket that is forgotten is an error in tests."""
    file = written(papers.folder, "tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    async with door(file, Bounds(connections=1)) as ours, visits(ours) as visit:
        file.touch()
        for _ in range(5):
            await visit()
        assert await ask(ours.port, papers.client_context()) == 200
    gc.collect()


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
