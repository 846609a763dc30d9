"""What a request passes before its handler: the rate limit, the password, the time it may take.

Knows of the web configuration what a request needs; the handlers know nothing of it.
"""

import math
import time
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from exporter.web.connection import Connection
from exporter.web.entrance import Entrance
from exporter.web.security_headers import add_configured_headers
from exporter.web.token_bucket import TokenBucket
from exporter.web.users import Users, login_in
from exporter.web.web_config import RateLimit, WebConfig

CHALLENGE: Final = 'Basic realm="mms-exporter"'


def put_gate(app: web.Application, entrance: Entrance) -> None:
    """Have every request to `app` pass the gate, and every answer carry the headers that are configured."""

    async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
        add_configured_headers(response.headers, entrance.settings.config.http_server_config.headers)

    app.middlewares.insert(0, _gate(entrance))
    app.on_response_prepare.append(add_headers)


def _gate(entrance: Entrance) -> Middleware:
    users = Users()
    limiter = _Limiter()

    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        protocol = request.protocol
        connection = protocol if isinstance(protocol, Connection) else None
        if connection is not None:
            connection.begin_answer()
        try:
            config = (await entrance.settled()).config
            if not limiter.lets_through(config.rate_limit):
                wait = max(1, math.ceil(config.rate_limit.interval_seconds))
                return _refusal(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait)})
            if config.basic_auth_users and request.path not in config.auth_excluded_paths:
                if not await _is_admitted(request, config, users):
                    return _refusal(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": CHALLENGE})
                if connection is not None:
                    connection.has_proven = True
            return await handler(request)
        finally:
            if connection is not None:
                connection.end_answer()

    return gate


async def _is_admitted(request: web.Request, config: WebConfig, users: Users) -> bool:
    login = login_in(request.headers.get("Authorization"))
    return login is not None and await users.admit(login, config.basic_auth_users)


def _refusal(status: HTTPStatus, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, text=f"{status.phrase}\n", headers=headers)


class _Limiter:
    """The bucket of the rate limit that is set now; one that is set anew begins full."""

    def __init__(self) -> None:
        self._limit = RateLimit()
        self._bucket: TokenBucket | None = None

    def lets_through(self, limit: RateLimit) -> bool:
        now = time.monotonic()
        if limit != self._limit:
            seconds = limit.interval_seconds
            self._bucket = TokenBucket(seconds, limit.burst, now) if seconds else None
            self._limit = limit
        return self._bucket is None or self._bucket.take(now)
