"""One request to the HTTP server without a socket: bytes in, bytes out. Knows nothing of the fuzzer."""

import asyncio
from functools import cache
from typing import Final

from aiohttp import web

from exporter.app.service import Service
from exporter.exposition.telemetry import Telemetry
from exporter.web.handlers import application
from exporter.web.listener import Connection, ConnectionLimits
from exporter.web.middleware import add_middleware
from exporter.web.security.web_config_watcher import WebConfigWatcher

TURNS: Final = 12
"""Of the loop, in which what needs no thread is answered."""


class Wire(asyncio.Transport):
    """Keeps what is sent to the visitor."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what is sent."""
        self.sent += data

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False

    def close(self) -> None:
        """End nothing."""

    def abort(self) -> None:
        """End nothing."""

    def pause_reading(self) -> None:
        """Pause nothing: all was read."""

    def resume_reading(self) -> None:
        """Resume nothing."""

    def can_write_eof(self) -> bool:
        """Tell that it cannot, as with TLS."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Bound nothing: nothing waits."""

    def get_write_buffer_size(self) -> int:
        """Return that nothing waits."""
        return 0


def answer_to(request: bytes) -> bytes:
    """Return what is answered at once to what a visitor sends, all in one piece."""
    runner, server = _server_on_loop()
    return runner.run(_visit(server, request))


async def _visit(server: web.Server, request: bytes) -> bytes:
    wire = Wire()
    connection = Connection(server, ConnectionLimits(), lambda _: None)
    connection.connection_made(wire)
    await _turns()
    connection.data_received(request)
    await _turns()
    connection.connection_lost(None)
    await _turns()
    return wire.sent


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@cache
def _server_on_loop() -> tuple[asyncio.Runner, web.Server]:
    runner = asyncio.Runner()
    server = runner.run(_server())
    return runner, server


async def _server() -> web.Server:
    app = application(Service(Telemetry(with_process=False)), "/metrics", None)
    add_middleware(app, WebConfigWatcher(None))
    await (apps := web.AppRunner(app)).setup()
    assert apps.server is not None
    for page in (b"/", b"/api/v1/status"):  # made in a thread, and kept
        await _visit(apps.server, b"GET " + page + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
    return apps.server
