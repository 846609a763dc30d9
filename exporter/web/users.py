"""Who may enter: a user name and a password against bcrypt hashes, slow for who guesses and quick for who is known.

Hashing runs in threads, few at a time. Verdicts are remembered by a keyed digest; no password is kept.
"""

import asyncio
import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import bcrypt

from exporter.shapes import Secret
from exporter.threads import DAEMON_THREADS

HASHED_AT_ONCE: Final = 2
MAX_VERDICTS: Final = 1024
"""Of wrong passwords, and as many of right ones, so that no flood of guesses pushes a known user out."""
MAX_PASSWORD_BYTES: Final = 72
"""Bcrypt looks at no more, and neither does the toolkit; the library wants them cut."""

Digest = bytes


@dataclass(frozen=True, slots=True)
class Login:
    """What a request says of who sends it."""

    user: bytes
    password: bytes

    def __repr__(self) -> str:
        return "Login(...)"


def login_in(authorization: str | None) -> Login | None:
    """Return the login in an Authorization header; None where there is none that can be read."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return None
    return Login(user, password) if colon else None


class Users:
    """Tells who may enter. A verdict is of a login and a hash: it holds on when other users come and go."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._matching: OrderedDict[Digest, bool] = OrderedDict()
        self._differing: OrderedDict[Digest, bool] = OrderedDict()
        self._under_way: dict[Digest, asyncio.Task[bool]] = {}
        self._turns = asyncio.Semaphore(HASHED_AT_ONCE)

    async def admit(self, login: Login, hashes: Mapping[str, Secret]) -> bool:
        """Tell whether the user is one of `hashes`, which is not empty, and the password is the user's."""
        known = {name.encode(errors="surrogatepass"): hashed.text.encode() for name, hashed in hashes.items()}
        matches = await self._matches(login, known.get(login.user) or _usual(known))
        return matches and login.user in known

    async def _matches(self, login: Login, hashed: bytes) -> bool:
        digest = self._digest(login, hashed)
        for verdicts in (self._matching, self._differing):
            if digest in verdicts:
                verdicts.move_to_end(digest)
                return verdicts[digest]
        task = self._under_way.get(digest)
        if task is None:
            # The same login many times over, as of scrapers after a start, is hashed once.
            task = asyncio.create_task(self._judge(digest, login, hashed))
            self._under_way[digest] = task
        return await asyncio.shield(task)

    async def _judge(self, digest: Digest, login: Login, hashed: bytes) -> bool:
        try:
            async with self._turns:
                loop = asyncio.get_running_loop()
                verdict = await loop.run_in_executor(DAEMON_THREADS, _matches, login.password, hashed)
            verdicts = self._matching if verdict else self._differing
            verdicts[digest] = verdict
            if len(verdicts) > MAX_VERDICTS:
                verdicts.popitem(last=False)
            return verdict
        finally:
            del self._under_way[digest]

    def _digest(self, login: Login, hashed: bytes) -> Digest:
        digest = hashlib.blake2b(key=self._key)
        for part in (login.user, hashed, login.password):
            digest.update(len(part).to_bytes(8) + part)
        return digest.digest()


def _usual(known: Mapping[bytes, bytes]) -> bytes:
    """Return the hash that an unknown user's password is compared with, so that it costs what a known one's does."""
    by_cost = sorted(known.values(), key=lambda hashed: hashed[4:6])
    return by_cost[(len(by_cost) - 1) // 2]


def _matches(password: bytes, hashed: bytes) -> bool:
    return bcrypt.checkpw(password[:MAX_PASSWORD_BYTES], hashed)
