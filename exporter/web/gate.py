"""What a request passes before its handler: the rate limit, the password, the time it may take.

Knows of the web configuration what a request needs; the handlers know nothing of it.
"""

import math
import time
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from exporter.web.connection import MAX_BODY_BYTES, Connection
from exporter.web.entrance import Entrance
from exporter.web.security_headers import add_configured_headers
from exporter.web.token_bucket import TokenBucket
from exporter.web.users import Crowded, Login, Users, login_in
from exporter.web.web_config import RateLimit, WebConfig

CHALLENGE: Final = 'Basic realm="mms-exporter"'
CROWDED_SECONDS: Final = 1
"""When to come back where too many passwords wait to be looked at."""


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
        if await _is_too_large(request):
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"Connection": "close"})
        if connection is not None:
            connection.begin_answer()
        try:
            config = (await entrance.settled()).config
            if not limiter.lets_through(config.rate_limit):
                wait = max(1, math.ceil(config.rate_limit.interval_seconds))
                return _refusal(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait)})
            # By the path that routes are found by: one with %2F in it is another.
            if config.basic_auth_users and request.rel_url.path_safe not in config.auth_excluded_paths:
                if (refusal := await _refused(request, connection, config, users)) is not None:
                    return refusal
                if connection is not None:
                    connection.has_proven = True
            return await handler(request)
        finally:
            if connection is not None:
                connection.end_answer()

    return gate


async def _is_too_large(request: web.Request) -> bool:
    """Tell whether the body is larger than any; one that does not say how large it is is read, and let go."""
    if "Transfer-Encoding" not in request.headers:
        return (request.content_length or 0) > MAX_BODY_BYTES
    size_bytes = 0
    async for piece in request.content.iter_any():
        size_bytes += len(piece)
        if size_bytes > MAX_BODY_BYTES:
            return True
    return False


async def _refused(
    request: web.Request, connection: Connection | None, config: WebConfig, users: Users
) -> web.Response | None:
    """Return the answer to who may not enter; None for who may."""
    login = login_in(request.headers.get("Authorization"))
    try:
        if login is not None and await _is_admitted(login, connection, config, users):
            return None
    except Crowded:
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(CROWDED_SECONDS)})
    return _refusal(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": CHALLENGE})


async def _is_admitted(login: Login, connection: Connection | None, config: WebConfig, users: Users) -> bool:
    if connection is None:
        return await users.admit(login, config.basic_auth_users)
    return await connection.while_there(users.admit(login, config.basic_auth_users, connection.peer))


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
