"""A small HTTP proxy for tests: it lets CONNECT through to where it is told, and remembers what it was asked."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """What the proxy does, and what it heard."""

    places: Mapping[str, int]
    """The port on loopback for each `host:port` it lets through; it answers 403 to others."""
    credentials: str | None = None
    """`username:password`; None where nobody is asked for any."""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """The targets of the requests."""
    admitted: list[str] = field(default_factory=list)
    """Those of them that came with the credentials."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = head[0].split(" ")
            refusal = self._refusal(method, target, head[1:])
            if refusal:
                writer.write(f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\n\r\n".encode())
            else:
                there = await asyncio.open_connection("127.0.0.1", self.places[target])
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_relay(reader, there[1]), _relay(there[0], writer))
        writer.close()

    def _refusal(self, method: str, target: str, headers: list[str]) -> str:
        self.asked.append(target)
        if self.credentials is not None and self._expected() not in headers:
            return "407 Proxy Authentication Required"
        self.admitted.append(target)
        return "" if method == "CONNECT" and target in self.places else "403 Forbidden"

    def _expected(self) -> str:
        return f"Proxy-Authorization: Basic {base64.b64encode((self.credentials or '').encode()).decode()}"


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxying(
    places: Mapping[str, int], credentials: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ConnectProxy]:
    """Provide a running proxy."""
    proxy = ConnectProxy(places, credentials)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0, ssl=tls)
    proxy.url = f"{'https' if tls else 'http'}://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
