"""HTTP transport of one account: connection pool, size limit, error translation.

The only module that sends requests to MMS. It does not know their content.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from exporter import __version__
from exporter.config.network import Proxy, tls_context
from exporter.errors import AnswerTooLarge, CallTimedOut, ConnectionFailed, MalformedAnswer, MmsError
from exporter.mms.signing import HEADER_ACTION
from exporter.mms.throttle import Limits

MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024
_NAME_HINT: Final = "check the region, the host names of endpoint and proxy, and the DNS of this machine"
_TRUST_HINT: Final = "check the endpoint; if it or its proxy uses a private CA, set ca_file"
_PROXY_HINT: Final = "check the proxy of the account (the key proxy or HTTPS_PROXY) and the hosts that it allows"


@dataclass(frozen=True, slots=True)
class Route:
    """Proxy and trusted CA certificates for an endpoint."""

    proxy: Proxy | None = None
    ca_bundle: str | None = None
    """Trusted CA certificates (PEM); None for those of the system."""


DIRECT: Final = Route()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response with its complete body."""

    status: int
    headers: dict[str, str]
    """Header names in lower case."""
    body: bytes
    """Decompressed body."""


class Transport:
    """Sends the requests of one account."""

    def __init__(self, host: str, limits: Limits, route: Route) -> None:
        self._host = host
        self._limits = limits
        self._route = route
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, method: str, url: URL, headers: dict[str, str], body: bytes | None) -> HttpResponse:
        """Send a request and return its response. Raises: MmsError."""
        # A followed redirect would disclose the signature to another host.
        operation = headers[HEADER_ACTION]
        try:
            async with self._open_session().request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                content = await _bounded_body(response.content, operation)
                named = {name.lower(): text for name, text in response.headers.items()}
                result = HttpResponse(response.status, named, content)
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError) as error:
            failure = self._translate(error, operation)
        else:
            if result.status != HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                return result
            failure = self._refused_by_proxy(operation, result.status)
        raise failure  # outside of `except`: some errors of aiohttp hold the request headers

    def _translate(self, error: Exception, operation: str) -> MmsError:
        match error:
            case TimeoutError():
                return CallTimedOut(f"{operation}: no response within {self._limits.timeout_seconds:g} s")
            case aiohttp.ClientHttpProxyError():
                return self._refused_by_proxy(operation, error.status)
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
                return MalformedAnswer(f"{operation}: the response is not valid HTTP")
            case _:
                problem, hint = self._connection_problem(error)
                failure = ConnectionFailed(f"{operation}: {problem}", hint=hint)
                failure.is_unsent = isinstance(error, aiohttp.ClientConnectorError)
                return failure

    def _connection_problem(self, error: Exception) -> tuple[str, str]:
        # Returns text and hint; "" selects the default hint.
        match error:
            case aiohttp.ClientConnectorCertificateError():
                return f"the TLS connection to {self._host} failed: {_verify_error(error)}", _TRUST_HINT
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return f"the TLS connection to {self._host} failed", ""
            case aiohttp.ClientConnectorDNSError() | UnicodeError():
                return f"the name {getattr(error, 'host', self._host)} cannot be resolved", _NAME_HINT
            case aiohttp.ClientProxyConnectionError():
                return f"cannot connect to the proxy {self._proxy_host}: {error.os_error.strerror}", _PROXY_HINT
            case aiohttp.ClientConnectorError():
                return f"cannot connect to {self._host}: {error.os_error.strerror}", ""
            case _:
                return f"the connection to {self._host} was closed", ""

    def _refused_by_proxy(self, operation: str, status: int) -> MmsError:
        detail = f"{operation}: the proxy {self._proxy_host} refused to connect to {self._host}: status {status}"
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return ConnectionFailed(detail, hint="check the username and the password of the proxy")
        return ConnectionFailed(detail, hint=_PROXY_HINT)

    @property
    def _proxy_host(self) -> str:
        return self._route.proxy.url.partition("://")[2] if self._route.proxy else ""

    async def _send_once(
        self,
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        # aiohttp retries a request with the same signature after its own connection errors. Translating them here
        # prevents this: a nonce must be unique, and every attempt is counted.
        try:
            return await send(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = self._translate(error, request.headers[HEADER_ACTION])
        raise failure

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            trusted = self._route.ca_bundle
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limits.concurrency, ssl=True if trusted is None else tls_context(trusted)
                ),
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(self._send_once,),
                headers={"user-agent": f"mms-exporter/{__version__}"},
                proxy=self._route.proxy.full_url if self._route.proxy else None,
            )
        return self._session


def _verify_error(error: aiohttp.ClientConnectorCertificateError) -> str:
    # The message of OpenSSL quotes only the expected host names.
    return str(getattr(error.certificate_error, "verify_message", "")) or "its certificate cannot be verified"


async def _bounded_body(content: aiohttp.StreamReader, operation: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > MAX_RESPONSE_BYTES:
                raise AnswerTooLarge(f"{operation}: the response is larger than {MAX_RESPONSE_BYTES // 2**20} MiB")
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        chunks.clear()  # the traceback of an error may keep this frame alive until the next garbage collection
