"""The HTTP server of the exporter in this process: listener, middleware and handlers."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import trustme
from aiohttp import ClientConnectionError, ClientSession, TCPConnector, web

from exporter.app.service import Service
from exporter.config.network import ListenAddress
from exporter.exposition.telemetry import Telemetry
from exporter.web.handlers import application
from exporter.web.listener import ConnectionLimits, Listener, bound_sockets
from exporter.web.middleware import add_middleware
from exporter.web.security.web_config_watcher import WebConfigWatcher

BAD_REQUEST = 400
REFUSED = "refused"
"""The result of a client without a response: a failed handshake or a closed connection."""


@dataclass(frozen=True)
class RunningServer:
    """A server on loopback."""

    port: int
    server: web.Server
    loads: list[bool]
    """The success of each reload of the web configuration."""

    async def send(self, request: bytes) -> bytes:
        """Send a request with `Connection: close` and return the whole response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()


@asynccontextmanager
async def running_server(
    file: Path | None = None, limits: ConnectionLimits | None = None, app: web.Application | None = None
) -> AsyncIterator[RunningServer]:
    """Provide a server on loopback that serves `app`. Raises: ConfigError."""
    loads: list[bool] = []
    web_config = WebConfigWatcher(file, loads.append)
    app = app or application(Service(Telemetry(with_process=False)), "/metrics", None)
    add_middleware(app, web_config)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = cast("web.Server", runner.server)
    listener = Listener(server, web_config, limits)
    listener.open(await bound_sockets(ListenAddress("127.0.0.1", 0)))
    try:
        yield RunningServer(listener.addresses[0][1], server, loads)
    finally:
        await listener.close()
        await runner.cleanup()


@dataclass(frozen=True)
class Certificates:
    """Certificate files in a folder."""

    folder: Path
    authority: trustme.CA
    clients: trustme.CA

    def client_context(self, certificate: str | None = None) -> ssl.SSLContext:
        """Return a client context that trusts the server, with a client certificate."""
        context = ssl.create_default_context(cadata=self.authority.cert_pem.bytes().decode())
        if certificate is not None:
            context.load_cert_chain(self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key")
        return context

    def issue(self, name: str, *names: str, by: trustme.CA | None = None) -> None:
        """Write a certificate for `names` and its key, as NAME.pem and NAME.key."""
        issued = (by or self.clients).issue_cert(*names)
        (self.folder / f"{name}.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        (self.folder / f"{name}.key").write_bytes(issued.private_key_pem.bytes())

    def issue_server(self) -> None:
        """Write a new certificate of the server."""
        self.issue("server", "localhost", "127.0.0.1", by=self.authority)


def certificates_in(folder: Path) -> Certificates:
    """Write server.pem, clients_ca.pem, client.pem (test3), other.pem (of another CA), each with its key."""
    certificates = Certificates(folder, trustme.CA(), trustme.CA())
    certificates.issue_server()
    certificates.issue("client", "test3", "192.0.2.7", "someone@example.com")
    certificates.issue("other", "test3", by=trustme.CA())
    certificates.clients.cert_pem.write_to_path(str(folder / "clients_ca.pem"))
    return certificates


def basic(user: str, password: str) -> str:
    """Return the Authorization header of a login."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def ask(
    port: int,
    context: ssl.SSLContext | None = None,
    auth: tuple[str, str] | None = None,
    path: str = "/-/healthy",
) -> int | str:
    """Return the status of a path over a new connection; REFUSED without one."""
    scheme = "http" if context is None else "https"
    headers = {"Authorization": basic(*auth)} if auth else {}
    async with ClientSession(connector=TCPConnector(force_close=True), headers=headers) as session:
        try:
            async with session.get(f"{scheme}://localhost:{port}{path}", ssl=context or False) as response:
                is_plain_on_tls = response.status == BAD_REQUEST and context is None  # Go says so in plain HTTP
                return REFUSED if is_plain_on_tls else response.status
        except (ClientConnectionError, ConnectionError):
            return REFUSED
