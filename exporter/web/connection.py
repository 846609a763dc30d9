"""One client connection: aiohttp's HTTP protocol with deadlines and error responses without internals."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from exporter.web.security.security_headers import add_default_headers

log = structlog.stdlib.get_logger()

HTTP_VERSIONS: Final = (HttpVersion10, HttpVersion11)
MAX_HEADERS: Final = 64
LINGERING_SECONDS: Final = 2.0
"""Lingering close: the rest of a request body is discarded for this long after the response."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of client connections."""

    head_seconds: float = 10.0
    """Timeout of the TLS handshake and of the head of a request."""
    response_seconds: float = 60.0
    """Timeout to make and send a response, until the kernel accepted all of it."""
    idle_seconds: float = 600.0
    """Keep-alive timeout; longer than that of Prometheus."""
    connections: int = 256
    """Maximum number of open connections."""


class Connection(web.RequestHandler):
    """The server side of a connection, from accept to close."""

    __slots__ = ("_limits", "_on_lost", "deadline", "is_responding", "since")

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
        self._set_deadline(limits.head_seconds)

    def _set_deadline(self, seconds: float, *, is_responding: bool = False) -> None:
        self.is_responding = is_responding
        self.since = asyncio.get_running_loop().time()
        self.deadline = self.since + seconds

    def start_response(self) -> None:
        """Start the response deadline after the head of a request."""
        self._set_deadline(self._limits.response_seconds, is_responding=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve requests."""
        if isinstance(transport, asyncio.Transport):
            # Writers wait until the kernel accepted everything. With 0, TLS would never resume them.
            transport.set_write_buffer_limits(high=1)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release what the connection used."""
        super().connection_lost(exc)
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        """Parse requests."""
        if data and self.deadline == math.inf:
            self._set_deadline(self._limits.head_seconds)
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; wait until the kernel accepted it."""
        if request.version not in HTTP_VERSIONS:  # aiohttp would respond in the same version
            await request.writer.write_headers("HTTP/1.1 505 HTTP Version Not Supported", _error(505).headers)
            await request.writer.write_eof()
            return resp, True
        if isinstance(resp, web.HTTPExpectationFailed):
            resp.text = f"{HTTPStatus.EXPECTATION_FAILED.phrase}\n"  # aiohttp's text quotes the request
        finished = await super().finish_response(request, resp, start_time)
        await request.writer.drain()
        self._set_deadline(math.inf)  # aiohttp closes idle connections
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
        return _error(status)


def _error(status: int) -> web.Response:
    response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers={"Connection": "close"})
    add_default_headers(response.headers)
    response.force_close()
    return response
