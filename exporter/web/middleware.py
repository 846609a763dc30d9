"""Middleware for request checks, rate limiting, basic auth and configured headers.

Reads the current web configuration; handlers do not.
"""

import math
import re
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware
from aiolimiter import AsyncLimiter

from exporter.web.listener import Connection
from exporter.web.security.basic_auth import BasicAuth, TooManyLogins, parse_basic_auth
from exporter.web.security.web_config import RateLimit, WebConfig, add_configured_headers
from exporter.web.security.web_config_watcher import WebConfigWatcher

HTTP_VERSIONS: Final = (HttpVersion10, HttpVersion11)
CHALLENGE: Final = 'Basic realm="mms-exporter"'
RETRY_SECONDS: Final = 1
"""Retry-After of a rejection because of too many pending logins."""
_HOST: Final = re.compile(r"[A-Za-z0-9!$%&'()*+,\-.:;=\[\]_~]*", re.ASCII)
"""The characters that Go's server accepts in a Host header."""


def add_middleware(app: web.Application, web_config: WebConfigWatcher) -> None:
    """Apply the web configuration to all requests and responses."""

    async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
        add_configured_headers(response.headers, web_config.settings.config.http_server_config.headers)

    app.middlewares.insert(0, _middleware(web_config))
    app.on_response_prepare.append(add_headers)


def _middleware(web_config: WebConfigWatcher) -> Middleware:
    auth = BasicAuth()
    limiter = _RateLimiter()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if isinstance(connection := request.protocol, Connection):
            connection.start_response()
        if request.version not in HTTP_VERSIONS:
            return _error(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, {})
        if not _has_valid_host(request):
            return _error(HTTPStatus.BAD_REQUEST, {"Connection": "close"})
        config = (await web_config.current()).config
        if not await limiter.allows(config.rate_limit):
            wait = max(1, math.ceil(config.rate_limit.interval_seconds))
            return _error(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait)})
        return await _login_error(request, config, auth) or await handler(request)

    return middleware


def _has_valid_host(request: web.Request) -> bool:
    hosts = request.headers.getall("Host", [])
    if not hosts:
        return request.version < HttpVersion11
    return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None


async def _login_error(request: web.Request, config: WebConfig, auth: BasicAuth) -> web.Response | None:
    # None if the request needs no login or has a valid one.
    # The router uses the same path: a path with %2F is a different one.
    if not config.basic_auth_users or request.rel_url.path_safe in config.auth_excluded_paths:
        return None
    login = parse_basic_auth(request.headers.get("Authorization"))
    try:
        if login is not None and await auth.authenticate(login, config.basic_auth_users):
            return None
    except TooManyLogins:
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_SECONDS)})
    return _error(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": CHALLENGE})


def _error(status: HTTPStatus, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, text=f"{status.phrase}\n", headers=headers)


class _RateLimiter:
    """A token bucket for the current rate limit."""

    # A changed limit starts with a full bucket.

    def __init__(self) -> None:
        self._limit = RateLimit()
        self._bucket: AsyncLimiter | None = None

    async def allows(self, limit: RateLimit) -> bool:
        if limit != self._limit:
            seconds = limit.interval_seconds * limit.burst
            self._bucket = AsyncLimiter(limit.burst, seconds) if seconds else None
            self._limit = limit
        if not limit.interval_seconds:
            return True
        if self._bucket is None or not self._bucket.has_capacity():
            return False
        await self._bucket.acquire()  # returns at once, since there is capacity
        return True
