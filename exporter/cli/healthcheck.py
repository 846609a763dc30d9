"""Health check of a local exporter, for container images without an HTTP client.

Knows the address and the health path, not the configuration of the exporter.
"""

import contextlib
import http.client
import socket
import ssl
from http import HTTPStatus
from typing import Final

from exporter.config.network import ListenAddress

PATH: Final = "/-/healthy"
"""Below the prefix."""
TIMEOUT_SECONDS: Final = 4
"""Timeout of each socket operation; a healthy exporter responds within milliseconds."""
_LOOPBACK: Final = {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on
_HEALTHY: Final = (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_DISCONNECTS: Final = (ConnectionResetError, BrokenPipeError)
_TLS_RECORDS: Final = (b"\x15", b"\x16")
"""First byte of a TLS alert and of a handshake message. Source: RFC 5246, section 6.2.1, ContentType."""


def unhealthy_reason(address: ListenAddress, route_prefix: str = "") -> str | None:
    """Return why the exporter is unhealthy, None if healthy.

    An exporter that rejects the request without a login or a client certificate, or by its rate limit, is healthy.
    """
    path = f"{route_prefix}{PATH}"
    host = _LOOPBACK.get(address.host) or str(address.host)
    plain = http.client.HTTPConnection(host, address.port, timeout=TIMEOUT_SECONDS)
    secure = http.client.HTTPSConnection(host, address.port, timeout=TIMEOUT_SECONDS, context=_unverified_context())
    try:
        status = _status(plain, path)
        if status in (None, HTTPStatus.BAD_REQUEST):  # responses of a TLS server to plain HTTP
            secure.connect()
            # A TLS 1.3 server that requires a client certificate disconnects only after the handshake.
            status = _status(secure, path) or HTTPStatus.FORBIDDEN
    except (ssl.SSLError, *_DISCONNECTS):
        # Up to TLS 1.2 it disconnects during the handshake, and asyncio does so without an alert.
        return None if _speaks_tls(host, address.port) else f"{address} responds with neither HTTP nor TLS"
    except OSError as error:
        return f"{address} does not respond: {error.strerror or 'timeout'}"
    return None if status in _HEALTHY else f"{path} returned status {status}"


def _status(connection: http.client.HTTPConnection, path: str) -> int | None:
    # None after a disconnect or a response that is not HTTP.
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (http.client.HTTPException, ssl.SSLError, *_DISCONNECTS):
        return None
    finally:
        connection.close()


def _speaks_tls(host: str, port: int) -> bool:
    # Whether the server replies to a ClientHello with a TLS record.
    client_hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _unverified_context().wrap_bio(ssl.MemoryBIO(), client_hello).do_handshake()
    with contextlib.suppress(OSError), socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
        connection.sendall(client_hello.read())
        return connection.recv(1) in _TLS_RECORDS
    return False


def _unverified_context() -> ssl.SSLContext:
    # Certificates are not verified: they do not name the loopback address, and no secret is sent.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
