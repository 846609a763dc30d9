"""The listening sockets: accept connections up to a limit and close those that exceed a deadline.

Does not use aiohttp's sites, which count a connection only after its TLS handshake (256 KiB of memory) and cannot
change the TLS settings.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

import structlog
from aiohttp import web

from exporter.web.addresses import ListenAddress
from exporter.web.connection import Connection, ConnectionLimits
from exporter.web.security.tls_failure_log import TlsFailureLog
from exporter.web.security.web_config_watcher import WebConfigWatcher

log = structlog.stdlib.get_logger()

BACKLOG: Final = 1024
"""Clients beyond it retry the connection after 1 s or more."""
ACCEPT_RETRY_SECONDS: Final = 1.0
"""Delay after an error, such as too many open files."""


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
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        """Open connections, each with the task of its TLS handshake."""
        self._tls_failures = TlsFailureLog()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Hosts and ports of the sockets."""
        return [each.getsockname()[:2] for each in self._sockets]

    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on bound sockets; `close` closes them."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._check_deadlines(), name="connection deadlines"))
        self._sockets += sockets
        for each in sockets:
            each.setblocking(False)
            each.listen(BACKLOG)
            self._tasks.append(asyncio.create_task(self._accept(each), name="accept"))

    async def close(self) -> None:
        """Stop accepting; the aiohttp server closes the connections."""
        tasks = [*self._tasks, *self._connections.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, address = await asyncio.get_running_loop().sock_accept(listening)
            except OSError as error:
                log.warning("accept failed", reason=error.strerror, retry_seconds=ACCEPT_RETRY_SECONDS)
                await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                continue
            if len(self._connections) < self._limits.connections or self._close_longest_idle():
                connection = Connection(self._server, self._limits, self._remove)
                start = self._start(connection, accepted, address[0])
                self._connections[connection] = asyncio.create_task(start, name="handshake")
            else:
                accepted.close()
            await asyncio.sleep(0)  # sock_accept does not yield while clients wait

    async def _start(self, connection: Connection, accepted: socket.socket, address: str) -> None:
        loop, limit = asyncio.get_running_loop(), self._limits.head_seconds
        try:
            context = (await self._web_config.current()).context
            limits = {"ssl_handshake_timeout": limit, "ssl_shutdown_timeout": limit} if context else {}
            await loop.connect_accepted_socket(lambda: connection, accepted, ssl=context, **limits)
        except OSError as error:
            self._tls_failures.add(error, address, loop.time())
            self._remove(connection)
            accepted.close()
        except BaseException:
            self._remove(connection)
            accepted.close()
            raise

    def _close_longest_idle(self) -> bool:
        # Slow readers count as idle after head_seconds.
        overdue = asyncio.get_running_loop().time() - self._limits.head_seconds
        closable = [each for each in self._connections if not each.is_responding or each.since < overdue]
        if closable:
            self._close(min(closable, key=lambda each: each.since))
        return bool(closable)

    def _close(self, connection: Connection) -> None:
        self._connections.pop(connection).cancel()
        if connection.transport is not None:
            connection.transport.abort()

    def _remove(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    async def _check_deadlines(self) -> None:
        while True:
            await asyncio.sleep(self._limits.head_seconds / 10)
            now = asyncio.get_running_loop().time()
            for each in [each for each in self._connections if each.deadline < now]:
                self._close(each)
