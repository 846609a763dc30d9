"""The listening sockets: lets clients in, so many at a time, and ends the connections of those who dawdle.

Accepts by itself, not through aiohttp's sites, since a client counts from its first packet, before TLS and request.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from aiohttp import web

from exporter.web.addresses import ListenAddress
from exporter.web.connection import Bounds, Connection
from exporter.web.entrance import Entrance
from exporter.web.peers import peer_of
from exporter.web.refusals import Refusals

log = structlog.stdlib.get_logger()

SWEEPS: Final = 10
"""In the time that a request's head may take."""
ACCEPT_PAUSE_SECONDS: Final = 1.0
"""While the machine has no file descriptor or memory left."""
BACKLOG: Final = 128
LAST_REQUESTS_SECONDS: Final = 0.2
"""At the end, for the request of a client that was let in and has not sent it yet: nobody else will answer it."""
LOOK_SECONDS: Final = 0.01
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


async def bound_sockets(address: ListenAddress) -> list[socket.socket]:
    """Return sockets bound to every address that the name has. Raises: OSError, UnicodeError, OverflowError."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, address.host, address.port, start_serving=False)
    try:
        return [each.dup() for each in server.sockets]
    finally:
        server.close()


class Listener:
    """Takes connections from sockets for as long as it is open."""

    def __init__(self, server: web.Server, entrance: Entrance, bounds: Bounds | None = None) -> None:
        self._server = server
        self._entrance = entrance
        self._bounds = bounds or Bounds()
        self._sockets: list[socket.socket] = []
        self._is_open = True
        self._sweeper: asyncio.Task[None] | None = None
        self._guests: dict[Connection, asyncio.Task[None]] = {}
        """Each with the task that lasts until TLS's handshake is done."""
        self._refusals = Refusals()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return [each.getsockname()[:2] for each in self._sockets]

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on bound sockets; they are closed with the listener."""
        self._sockets += sockets
        for each in sockets:
            each.setblocking(False)
            each.listen(BACKLOG)
            self._watch(each)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="sweep")

    async def close(self) -> None:
        """Take no more connections, and end those on which no request came; the others are the server's to end."""
        self._is_open = False
        for each in self._sockets:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        await self._last_requests()
        ending = [task for task in (self._sweeper, *self._guests.values()) if task is not None and not task.done()]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _last_requests(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_REQUESTS_SECONDS):
                while not all(guest.has_asked for guest in self._guests):  # noqa: ASYNC110 - 256 events for one moment
                    await asyncio.sleep(LOOK_SECONDS)

    def _watch(self, listening: socket.socket) -> None:
        if self._is_open:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Let in one who waits: between that and being counted nothing can come, not even the end."""
        try:
            accepted, address = listening.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                log.warning("no connection can be taken for now", reason=error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_PAUSE_SECONDS, self._watch, listening)
        else:
            accepted.setblocking(False)
            self._admit(accepted, peer_of(address[0]) if address else "")

    def _admit(self, accepted: socket.socket, peer: str) -> None:
        if not self._has_room(peer):
            accepted.close()
            return
        guest = Connection(self._server, asyncio.get_running_loop(), self._bounds, self._leave, peer)
        self._guests[guest] = asyncio.create_task(self._begin(guest, accepted), name="handshake")

    async def _begin(self, guest: Connection, accepted: socket.socket) -> None:
        """Shake hands as the settings of the moment say; what fails there is between the client and its log."""
        context = await self._context(accepted)
        limit = self._bounds.head_seconds if context else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: guest, accepted, ssl=context, ssl_handshake_timeout=limit, ssl_shutdown_timeout=limit
            )
        except OSError as error:
            self._refusals.note(error, guest.peer, asyncio.get_running_loop().time())
            self._leave(guest)

    async def _context(self, accepted: socket.socket) -> ssl.SSLContext | None:
        try:
            return (await self._entrance.settled()).context
        except asyncio.CancelledError:
            accepted.close()  # nothing else has it yet
            raise

    def _has_room(self, peer: str) -> bool:
        """Tell whether there is a place for one more of `peer`'s; one that may leave makes room."""
        neighbours = [guest for guest in self._guests if guest.peer == peer]
        if len(neighbours) >= self._bounds.connections_of_one:
            return self._make_room(neighbours)
        return len(self._guests) < self._bounds.connections or self._make_room(self._guests)

    def _make_room(self, guests: Iterable[Connection]) -> bool:
        """End one of `guests` that may leave; False where there is none.

        First goes who did not show who it is, of the address that has most, who asked nothing, and who waits longest.
        """
        leaving = [guest for guest in guests if guest.may_leave]
        if not leaving:
            return False
        crowd = Counter(guest.peer for guest in self._guests)
        self._end(min(leaving, key=lambda each: (each.has_proven, -crowd[each.peer], each.has_asked, each.since)))
        return True

    def _end(self, guest: Connection) -> None:
        self._guests.pop(guest).cancel()
        guest.cut()

    def _leave(self, guest: Connection) -> None:
        self._guests.pop(guest, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._bounds.head_seconds / SWEEPS)
            for guest in [each for each in self._guests if each.is_overdue()]:
                self._end(guest)
