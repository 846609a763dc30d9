"""Asks an exporter on this machine whether it is healthy: for container engines, whose images have no HTTP client.

Knows an address and the health path; nothing of the configuration that the exporter runs with.
"""

import contextlib
import http.client
import socket
import ssl
from http import HTTPStatus
from typing import Final

from exporter.web.addresses import ListenAddress

PATH: Final = "/-/healthy"
TIMEOUT_SECONDS: Final = 4
"""Of each step of a request; an answer that is ready takes milliseconds."""
_LOOPBACK: Final = {None: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what it is reached by
_WELL: Final = (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_HUNG_UP: Final = (ConnectionResetError, BrokenPipeError)
_TLS_RECORDS: Final = (b"\x15", b"\x16")
"""How an alert and a message of a handshake begin. Source: RFC 5246, section 6.2.1, ContentType."""


def health_error(address: ListenAddress) -> str | None:
    """Return what is wrong with the exporter that listens on `address`; None where it is well.

    An exporter that asks for a password or a certificate, which a probe has not, or that was asked too often, is taken
    for well: it answers.
    """
    host = _LOOPBACK.get(address.host) or str(address.host)
    plain = http.client.HTTPConnection(host, address.port, timeout=TIMEOUT_SECONDS)
    secure = http.client.HTTPSConnection(host, address.port, timeout=TIMEOUT_SECONDS, context=_trusting())
    try:
        status = _status(plain)
        if status in (None, HTTPStatus.BAD_REQUEST):  # how a server that wants TLS takes plain HTTP
            secure.connect()
            # Who hangs up after the handshake asked for a certificate: with TLS 1.3 that comes to light only then.
            status = _status(secure) or HTTPStatus.FORBIDDEN
    except (ssl.SSLError, *_HUNG_UP):
        # Up to TLS 1.2, who asks for a certificate hangs up in the midst of the handshake, and asyncio does so mutely.
        return None if _speaks_tls(host, address.port) else f"{address} responds with neither HTTP nor TLS"
    except OSError as error:
        return f"{address} does not respond: {error.strerror or 'timeout'}"
    return None if status in _WELL else f"{PATH} returned status {status}"


def _status(connection: http.client.HTTPConnection) -> int | None:
    """Return the status of the answer; None where the other side hung up, or answered no HTTP. Raises: OSError."""
    try:
        connection.request("GET", PATH)
        return connection.getresponse().status
    except (http.client.HTTPException, ssl.SSLError, *_HUNG_UP):
        return None
    finally:
        connection.close()


def _speaks_tls(host: str, port: int) -> bool:
    """Tell whether the other side takes the first message of a handshake for what it is, whatever comes of it."""
    message = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _trusting().wrap_bio(ssl.MemoryBIO(), message).do_handshake()
    with contextlib.suppress(OSError), socket.create_connection((host, port), TIMEOUT_SECONDS) as connection:
        connection.sendall(message.read())
        return connection.recv(1) in _TLS_RECORDS
    return False


def _trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate: its names are those of the outside, and no secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
