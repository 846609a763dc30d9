"""HTTP basic auth against bcrypt hashes.

Hashing runs in a few threads. The cache of correct logins holds keyed digests, never passwords.
"""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import bcrypt

from exporter.config.sections import Secret
from exporter.runtime import DAEMON_THREADS

HASHED_AT_ONCE: Final = 2
MAX_PENDING: Final = 64
"""Maximum different logins that are hashed or wait: a few seconds of work at cost 10."""
MAX_PASSWORD_BYTES: Final = 72
"""bcrypt and the toolkit ignore the rest; the bcrypt library raises an error."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password."""

    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Login(...)"


def parse_basic_auth(authorization: str | None) -> Login | None:
    """Return the login of an Authorization header, otherwise None."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return None
    return Login(user, password[:MAX_PASSWORD_BYTES]) if colon else None


class TooManyLogins(Exception):
    """Too many logins wait to be hashed."""


class BasicAuth:
    """Checks logins; caches the last correct one of each user."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._cached: dict[bytes, bytes] = {}
        """Digest of the last correct login, by user name."""
        self._pending: dict[bytes, asyncio.Task[bool]] = {}
        self._hashing = asyncio.Semaphore(HASHED_AT_ONCE)

    async def authenticate(self, login: Login, hashes: Mapping[str, Secret]) -> bool:
        """Return whether the login matches `hashes` (not empty). Raises: TooManyLogins."""
        by_user = {name.encode(errors="surrogatepass"): hashed.text.encode() for name, hashed in hashes.items()}
        own = by_user.get(login.user)
        hashed = own or _median_cost(by_user)  # an unknown user costs as much as a wrong password
        digest = self._digest(login, hashed)
        if own and self._cached.get(login.user) == digest:
            return True
        matches = await self._matches(digest, login.password, hashed)
        if own and matches:
            self._cached[login.user] = digest
        return bool(own) and matches

    async def _matches(self, digest: bytes, password: bytes, hashed: bytes) -> bool:
        # Concurrent requests with the same login share one task.
        task = self._pending.get(digest)
        if task is None:
            if len(self._pending) >= MAX_PENDING:
                raise TooManyLogins
            task = self._pending[digest] = asyncio.create_task(self._hash(password, hashed), name="bcrypt")
            task.add_done_callback(lambda _: self._pending.pop(digest))
        return await asyncio.shield(task)

    async def _hash(self, password: bytes, hashed: bytes) -> bool:
        async with self._hashing:
            return await asyncio.get_running_loop().run_in_executor(DAEMON_THREADS, _is_hash_of, hashed, password)

    def _digest(self, login: Login, hashed: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key)
        for part in (login.user, hashed, login.password):
            digest.update(len(part).to_bytes(8) + part)
        return digest.digest()


def _median_cost(by_user: Mapping[bytes, bytes]) -> bytes:
    by_cost = sorted(by_user.values(), key=lambda hashed: hashed[4:6])
    return by_cost[(len(by_cost) - 1) // 2]


def _is_hash_of(hashed: bytes, password: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # bcrypt cannot parse the hash
        return False
