"""Client connections: accept up to a limit, one deadline at a time, error responses without internals.

Does not use aiohttp's sites, which count a connection only after its TLS handshake (256 KiB of memory) and cannot
change the TLS settings.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from exporter.config.network import ListenAddress
from exporter.web.security.web_config import add_default_headers
from exporter.web.security.web_config_watcher import WebConfigWatcher

log = structlog.stdlib.get_logger()

BACKLOG: Final = 1024
"""Clients beyond it retry the connection after 1 s or more."""
MAX_HEADERS: Final = 64
LINGERING_SECONDS: Final = 2.0
"""Lingering close: the rest of a request body is discarded for this long after the response."""
OUT_OF_RESOURCES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
ACCEPT_RETRY_SECONDS: Final = 1.0
"""Delay after an error of OUT_OF_RESOURCES, which stays until a connection ends."""
TLS_LOG_SECONDS: Final = 60.0
"""Minimum time between two warnings about rejected TLS clients."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of client connections."""

    head_seconds: float = 10.0
    """Timeout of the TLS handshake, and then of the head of the first request."""
    response_seconds: float = 60.0
    """Timeout to make and send a response, until the kernel accepted all of it."""
    idle_seconds: float = 600.0
    """Keep-alive timeout, until the end of the next head; longer than that of Prometheus."""
    connections: int = 256
    """Maximum number of open connections."""


class Connection(web.RequestHandler):
    """The server side of a connection: aiohttp's HTTP protocol with deadlines."""

    __slots__ = ("_deadline", "_limits", "_on_lost", "is_responding", "since")

    def __init__(self, server: web.Server, limits: ConnectionLimits, on_lost: Callable[["Connection"], None]) -> None:
        """Wait for a request; `on_lost` is called after the close."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None turns it off
            keepalive_timeout=limits.idle_seconds,
            lingering_time=LINGERING_SECONDS,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self._limits = limits
        self._on_lost = on_lost
        self._deadline: asyncio.TimerHandle | None = None
        self._note_phase(None)

    def _note_phase(self, seconds: float | None, *, is_responding: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.is_responding, self.since = is_responding, loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else loop.call_later(seconds, self.abort)

    def abort(self) -> None:
        """Disconnect at once."""
        if self.transport is not None:
            self.transport.abort()

    def start_response(self) -> None:
        """Start the response deadline after the head of a request."""
        self._note_phase(self._limits.response_seconds, is_responding=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve requests."""
        if isinstance(transport, asyncio.Transport):
            # Writers wait until the kernel accepted everything. With 0, TLS would never resume them.
            transport.set_write_buffer_limits(high=1)
        super().connection_made(transport)
        self._note_phase(self._limits.head_seconds)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release what the connection used."""
        super().connection_lost(exc)
        self._note_phase(None)
        self._on_lost(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; wait until the kernel accepted it."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp.text = f"{HTTPStatus.EXPECTATION_FAILED.phrase}\n"  # aiohttp's text quotes the request
        finished = await super().finish_response(request, resp, start_time)
        await request.writer.drain()
        self._note_phase(None)  # aiohttp closes idle connections
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Return the response to an invalid request or unexpected error."""
        if isinstance(exc, HttpProcessingError | web.RequestPayloadError | ConnectionError):
            log.debug("request failed", status=int(status), reason=type(exc).__name__)
        else:
            log.error("request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of the response is sent")
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers={"Connection": "close"})
        add_default_headers(response.headers)
        response.force_close()
        return response


async def bound_sockets(address: ListenAddress) -> list[socket.socket]:
    """Return sockets bound to every address of the name. Raises: OSError, UnicodeError, OverflowError."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, address.host, address.port, start_serving=False)
    try:
        return [each.dup() for each in server.sockets]
    finally:
        server.close()


class Listener:
    """Accepts connections until closed."""

    def __init__(
        self, server: web.Server, web_config: WebConfigWatcher, limits: ConnectionLimits | None = None
    ) -> None:
        self._server = server
        self._web_config = web_config
        self._limits = limits or ConnectionLimits()
        self._sockets: list[socket.socket] = []
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        """Open connections, each with the task of its TLS handshake."""
        self._rejected = 0
        self._silent_until = 0.0

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Hosts and ports of the sockets."""
        return [each.getsockname()[:2] for each in self._sockets]

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on bound sockets; `close` closes them."""
        self._sockets += sockets
        for each in sockets:
            each.setblocking(False)
            each.listen(BACKLOG)
            self._resume(each)

    async def close(self) -> None:
        """Stop accepting; the aiohttp server closes the connections."""
        for each in self._sockets:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        handshakes = list(self._connections.values())
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)

    def _resume(self, listening: socket.socket) -> None:
        # Not sock_accept: asyncio logs an error if a client arrives while the waiting task is cancelled.
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, address = listening.accept()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                log.warning("accept failed", reason=error.strerror, retry_seconds=ACCEPT_RETRY_SECONDS)
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_RETRY_SECONDS, self._resume, listening)
        else:
            accepted.setblocking(False)
            self._add(accepted, address[0])

    def _add(self, accepted: socket.socket, address: str) -> None:
        if len(self._connections) >= self._limits.connections and not self._close_longest_idle():
            accepted.close()
            return
        connection = Connection(self._server, self._limits, self._remove)
        start = self._start(connection, accepted, address)
        self._connections[connection] = asyncio.create_task(start, name="handshake")

    async def _start(self, connection: Connection, accepted: socket.socket, address: str) -> None:
        loop, limit = asyncio.get_running_loop(), self._limits.head_seconds
        try:
            context = (await self._web_config.current()).context
            # The end of a response can still be in the buffers of TLS when the connection is closed.
            ending = self._limits.response_seconds
            limits = {"ssl_handshake_timeout": limit, "ssl_shutdown_timeout": ending} if context else {}
            await loop.connect_accepted_socket(lambda: connection, accepted, ssl=context, **limits)
        except BaseException as error:
            self._remove(connection)
            accepted.close()
            if not isinstance(error, OSError):
                raise
            self._log_rejected(error, address)

    def _log_rejected(self, error: OSError, address: str) -> None:
        log.debug("TLS handshake failed", address=address, reason=str(error))
        if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
            return  # the client disconnected, like a port probe
        self._rejected += 1
        if (now := asyncio.get_running_loop().time()) >= self._silent_until:
            log.warning("TLS clients rejected", count=self._rejected, last_address=address, last_reason=str(error))
            self._rejected, self._silent_until = 0, now + TLS_LOG_SECONDS

    def _close_longest_idle(self) -> bool:
        # Slow readers count as idle after head_seconds.
        overdue = asyncio.get_running_loop().time() - self._limits.head_seconds
        closable = [each for each in self._connections if not each.is_responding or each.since < overdue]
        if closable:
            longest = min(closable, key=lambda each: each.since)
            self._connections.pop(longest).cancel()
            longest.abort()
        return bool(closable)

    def _remove(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
