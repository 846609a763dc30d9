"""One connection of a client, with an end to its patience: for a request's head, for an answer that is not read.

aiohttp parses and answers; what is added here is time, size, and errors that tell nothing of the inside.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from exporter.web.security_headers import add_default_headers
from exporter.web.unsent import bound_unsent, unsent_bytes

log = structlog.stdlib.get_logger()

T = TypeVar("T")

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 64 * 1024
"""No path wants a body."""
MAX_HEARD_BYTES: Final = 4 * 1024 * 1024
"""So much is taken of a request in all: nothing of what is too large is kept, and its client may still read why."""
QUIET_SECONDS: Final = 0.5
"""A client that is refused has said all it had to say where nothing came for so long."""
QUIET_LOOKS: Final = 4
"""How often that is waited for."""
BROKEN_HEAD: Final = b"\0"
"""No head may hold it."""
MAX_HEADERS: Final = 64
MAX_LINE_BYTES: Final = 8190


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take."""

    head_seconds: float = 10.0
    """From the connection, or the first byte of one more request, to the end of its head; with TLS's handshake."""
    answer_seconds: float = 60.0
    """For an answer to be made, and again for it to be read; what the kernel took counts as read."""
    idle_seconds: float = 600.0
    """Between two requests: longer than Prometheus keeps an idle connection."""
    connections: int = 256
    """At a time, of all clients: more than any number of Prometheus servers needs."""
    connections_of_one: int = 224
    """Of one client address: two hundred scrapers behind one proxy have a place each, and 32 places are the others'."""


class Connection(web.RequestHandler):
    """The server's side of a connection; it exists from the moment a client is let in, before any handshake."""

    __slots__ = (
        *("_answering", "_awaited", "_bounds", "_has_left", "_leave", "_received_bytes", "_refusal", "_sending"),
        *("_since", "_wire", "has_asked", "has_proven", "peer"),
    )

    def __init__(
        self,
        server: web.Server,
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
        leave: Callable[["Connection"], None],
        peer: str,
    ) -> None:
        """Begin to wait for a client, `peer`; `leave` is told when the connection has ended."""
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is for none
            keepalive_timeout=bounds.idle_seconds,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            read_bufsize=MAX_BODY_BYTES // 2,  # of a body nobody reads, twice that is kept
            auto_decompress=False,  # no body is looked at, and one that is spoiled is no news
        )
        self._wire: asyncio.Transport | None = None
        self._bounds = bounds
        self._leave = leave
        self._has_left = False
        self._awaited: asyncio.Task[Any] | None = None
        self.peer = peer
        """Who is at its other end, as far as an address tells."""
        self._since = loop.time()
        self.has_asked = False
        """Whether the head of a request came."""
        self._answering = False
        self._sending = False
        self._received_bytes = 0
        self._refusal: HTTPStatus | None = None
        """What the client is told that sent what is too much, or no request; nothing more of it is looked at."""
        self.has_proven = False
        """Whether its client showed who it is, by a login or a certificate."""

    @property
    def may_leave(self) -> bool:
        """Whether it may make room: not in an answer, unless it is read as slowly as no scraper that waits reads."""
        return not self._is_awaiting_reader() or self._loop.time() - self._since > self._bounds.head_seconds

    @property
    def since(self) -> float:
        """When it began to do what it does, by the loop's time."""
        return self._since

    def is_overdue(self) -> bool:
        """Tell whether the client took longer than anyone needs."""
        return self._loop.time() - self._since > self._allowed_seconds()

    def _allowed_seconds(self) -> float:
        if self._is_awaiting_reader():
            return self._bounds.answer_seconds
        is_idle = self.has_asked and not self._received_bytes
        return self._bounds.idle_seconds if is_idle else self._bounds.head_seconds

    def _is_awaiting_reader(self) -> bool:
        return self._answering or self._sending or (self._wire is not None and unsent_bytes(self._wire) > 0)

    def begin_answer(self) -> None:
        """Note that a request's head is there, and its answer is being made."""
        self.has_asked = True
        self._answering = True
        self._received_bytes = 0
        self._since = self._loop.time()

    def end_answer(self) -> None:
        """Note that an answer was made."""
        self._answering = False
        self._since = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        if isinstance(transport, asyncio.Transport):
            self._wire = transport
            bound_unsent(transport)
            self.has_proven = bool(transport.get_extra_info("peercert"))  # none is taken that was not verified
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, up to bounds."""
        if self.has_asked and not self._answering and not self._received_bytes:
            self._since = self._loop.time()
        room = max(0, MAX_HEAD_BYTES - self._received_bytes)
        self._received_bytes += len(data)
        if self._received_bytes > MAX_HEARD_BYTES:
            self.cut()
        elif self._refusal is None:
            super().data_received(data[:room])
            if beyond := data[room:]:
                self._take_beyond(beyond)

    def _take_beyond(self, data: bytes) -> None:
        """Take what arrived beyond the bound of a head; where it is of one, have aiohttp answer it as a broken one."""
        if self._is_awaiting_head():
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            data = BROKEN_HEAD
        super().data_received(data)

    def _is_awaiting_head(self) -> bool:
        """Tell whether there is no request to deal with; with TLS, data may come before aiohttp begins to wait."""
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._has_left = True
        if self._awaited is not None:
            self._awaited.cancel()
        self._leave(self)

    async def while_there(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Return what is awaited; it is given up when the client leaves. Raises: ConnectionError."""
        self._awaited = task = asyncio.create_task(awaited)
        if self._has_left:
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            if self._has_left:
                raise ConnectionResetError("the client left") from None
            raise
        finally:
            self._awaited = None

    def cut(self) -> None:
        """End the connection now, whatever is unsent."""
        if self._wire is not None:
            self._wire.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp refuses before the gate is told without what was sent."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp.text = f"{HTTPStatus.EXPECTATION_FAILED.phrase}\n"
        if resp.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            self._refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        self._sending = True
        try:
            finished = await super().finish_response(request, resp, start_time)
        finally:
            self._sending = False
        if self._refusal is not None:
            await self._hear_out()
        return finished

    async def _hear_out(self) -> None:
        """End the connection once its client had time to read why: in the middle of what it sends it would be reset."""
        if self._wire is not None:
            if self._wire.can_write_eof():  # not with TLS
                self._wire.write_eof()
            self._wire.resume_reading()
            with contextlib.suppress(ConnectionError):
                await self.while_there(self._quiet())
        self.force_close()

    async def _quiet(self) -> None:
        for _ in range(QUIET_LOOKS):
            received_bytes = self._received_bytes
            await asyncio.sleep(QUIET_SECONDS)
            if received_bytes == self._received_bytes:
                return

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Return the answer to what went wrong: a status, and nothing of what was sent or of the code."""
        if isinstance(exc, HttpProcessingError | web.RequestPayloadError):
            self._refusal = status = self._refusal or HTTPStatus.BAD_REQUEST
        if isinstance(exc, HttpProcessingError | web.RequestPayloadError | ConnectionError):
            log.debug("request came to nothing", status=int(status), reason=type(exc).__name__)
        else:
            log.error("request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers={"Connection": "close"})
        add_default_headers(response.headers)
        response.force_close()
        return response
