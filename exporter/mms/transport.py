"""One request over HTTP and its answer, read within bounds: the only place that sends.

Owns the pooled connections of an account, and what the library's errors mean. Knows nothing of what is asked.
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

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_NAME_HINT: Final = "check the region, the host names of endpoint and proxy, and the DNS of this machine"
_TRUST_HINT: Final = "check the endpoint; if it or its proxy uses a private CA, set ca_file"
_PROXY_HINT: Final = "check the proxy of the account (the key proxy or HTTPS_PROXY) and the hosts that it allows"


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the endpoint."""

    proxy: Proxy | None = None
    authorities: str | None = None
    """Whose certificates are trusted, in PEM; None for the system's."""


DIRECT: Final = Route()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes
    """As it is after decompression."""


class Transport:
    """Carries the requests of one account."""

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

    async def send(self, method: str, url: URL, headers: dict[str, str], body: bytes | None) -> Answer:
        """Return the answer to a request; a redirect is one like any other.

        Following it would hand the signature to another host. Raises: MmsError where none came that can be read.
        """
        operation = headers[HEADER_ACTION]
        try:
            async with self._opened_session().request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                content = await _bounded_body(response.content, operation)
                named = {name.lower(): text for name, text in response.headers.items()}
                answer = Answer(response.status, named, content)
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError) as error:
            failure = self._translated(error, operation)
        else:
            if answer.status != HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
                return answer
            failure = self._refused_by_proxy(operation, answer.status)
        raise failure  # out here, since some of aiohttp's errors hold the request's headers

    def _translated(self, error: Exception, operation: str) -> MmsError:
        """Return what a foreign error means. The one place where they are translated."""
        match error:
            case TimeoutError():
                return CallTimedOut(f"{operation}: no response within {self._limits.timeout_seconds:g} s")
            case aiohttp.ClientHttpProxyError():
                return self._refused_by_proxy(operation, error.status)
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
                return MalformedAnswer(f"{operation}: the response is not valid HTTP")
            case _:
                trouble, hint = self._trouble_of(error)
                failure = ConnectionFailed(f"{operation}: {trouble}", hint=hint)
                failure.is_unsent = isinstance(error, aiohttp.ClientConnectorError)
                return failure

    def _trouble_of(self, error: Exception) -> tuple[str, str]:
        """Return what broke a connection, and what to do about it; "" for what is to be done about any."""
        match error:
            case aiohttp.ClientConnectorCertificateError():
                return f"the TLS connection to {self._host} failed: {_distrust(error)}", _TRUST_HINT
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
        """Where the proxy is, fit for a message."""
        return self._route.proxy.url.partition("://")[2] if self._route.proxy else ""

    async def _sent_once(
        self,
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """Send one request, translating its failure already here.

        aiohttp sends a request again, by itself and with the same signature, when a connection is cut; it does so for
        its own errors only. A nonce must not be used twice, and an attempt is to be counted.
        """
        try:
            return await send(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = self._translated(error, request.headers[HEADER_ACTION])
        raise failure

    def _opened_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            trusted = self._route.authorities
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limits.concurrency, ssl=True if trusted is None else tls_context(trusted)
                ),
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(self._sent_once,),
                headers={"user-agent": f"mms-exporter/{__version__}"},
                proxy=self._route.proxy.full_url if self._route.proxy else None,
            )
        return self._session


def _distrust(error: aiohttp.ClientConnectorCertificateError) -> str:
    """Return OpenSSL's reason, which quotes no more than the names that were looked for."""
    return str(getattr(error.certificate_error, "verify_message", "")) or "its certificate cannot be verified"


async def _bounded_body(content: aiohttp.StreamReader, operation: str) -> bytes:
    """Return the whole body, as it is after decompression. Raises: AnswerTooLarge."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise AnswerTooLarge(f"{operation}: the response is larger than {MAX_ANSWER_BYTES // 2**20} MiB")
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        chunks.clear()  # this frame may live on with an error that went through it, until garbage is collected
