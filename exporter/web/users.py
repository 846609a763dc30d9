"""Who may enter: a user name and a password against bcrypt hashes, slow for who guesses and quick for who is known.

Hashing runs in threads, few at a time, in fair turns. Verdicts are remembered by a keyed digest; no password is kept.
"""

import asyncio
import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import bcrypt

from exporter.shapes import Secret
from exporter.threads import DAEMON_THREADS
from exporter.web.fair_queue import Share
from exporter.web.turns import Ticket, Turns

HASHED_AT_ONCE: Final = 2
MAX_WAITING: Final = 64
"""Logins that wait to be hashed: a few seconds' work at the usual cost."""
MAX_VERDICTS: Final = 1024
"""Of right passwords of known users, and as many of all others, so that no flood of guesses pushes a known user out."""
MAX_PASSWORD_BYTES: Final = 72
"""Bcrypt looks at no more, and neither does the toolkit; the library wants them cut."""

Digest = bytes


class Measure(NamedTuple):
    """What a password is compared with."""

    hashed: bytes
    is_own: bool
    """Whether it is the hash of the user who is named; that of another where no such user is known."""


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


class Crowded(Exception):
    """So many logins wait to be looked at that this one is not; it may be sent again."""


@dataclass(eq=False, slots=True)
class _Job:
    """A login that is looked at, once for all who send it from one peer at a time."""

    ticket: Ticket
    verdict: asyncio.Task[bool | None]
    """None where its turn cannot come."""
    awaiting: int = 0


class Users:
    """Tells who may enter. A verdict is of a login and a hash: it holds on when other users come and go."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._of_users: OrderedDict[Digest, bool] = OrderedDict()
        self._of_others: OrderedDict[Digest, bool] = OrderedDict()
        self._jobs: dict[tuple[str, Digest], _Job] = {}
        self._turns = Turns(HASHED_AT_ONCE, MAX_WAITING)

    async def admit(self, login: Login, hashes: Mapping[str, Secret], peer: str = "") -> bool:
        """Tell whether the user is one of `hashes`, which is not empty, and the password is the user's.

        `peer` is who sends it. A login that its senders give up before its turn is never hashed. Raises: Crowded.
        """
        known = {name.encode(errors="surrogatepass"): hashed.text.encode() for name, hashed in hashes.items()}
        own = known.get(login.user)
        measure = Measure(own or _usual(known), is_own=own is not None)
        return await self._matches(login, measure, peer) and measure.is_own

    async def _matches(self, login: Login, measure: Measure, peer: str) -> bool:
        digest = self._digest(login, measure.hashed)
        verdict = self._remembered(digest)
        if verdict is None:
            verdict = await self._judged(digest, login, measure, peer)
        if verdict is None:
            raise Crowded
        return verdict

    async def _judged(self, digest: Digest, login: Login, measure: Measure, peer: str) -> bool | None:
        key = (peer, digest)
        job = self._jobs.get(key)
        if job is None:
            ticket = self._turns.ask(Share(peer, login.user))
            job = self._jobs[key] = _Job(ticket, asyncio.create_task(self._judge(digest, login, measure, ticket)))
        job.awaiting += 1
        try:
            return await asyncio.shield(job.verdict)
        finally:
            job.awaiting -= 1
            if not job.awaiting:
                self._turns.give_up(job.ticket)
                del self._jobs[key]

    async def _judge(self, digest: Digest, login: Login, measure: Measure, ticket: Ticket) -> bool | None:
        if not await ticket.comes:
            return None
        try:
            verdict = self._remembered(digest)  # from another peer's turn, it may be known by now
            if verdict is None:
                loop = asyncio.get_running_loop()
                verdict = await loop.run_in_executor(DAEMON_THREADS, _matches, login.password, measure.hashed)
                self._remember(digest, verdict, measure)
            return verdict
        finally:
            self._turns.end()

    def _remembered(self, digest: Digest) -> bool | None:
        for verdicts in (self._of_users, self._of_others):
            if digest in verdicts:
                verdicts.move_to_end(digest)
                return verdicts[digest]
        return None

    def _remember(self, digest: Digest, verdict: bool, measure: Measure) -> None:  # noqa: FBT001 - what is remembered
        verdicts = self._of_users if verdict and measure.is_own else self._of_others
        verdicts[digest] = verdict
        if len(verdicts) > MAX_VERDICTS:
            verdicts.popitem(last=False)

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
    try:
        return bcrypt.checkpw(password[:MAX_PASSWORD_BYTES], hashed)
    except ValueError:  # a hash that bcrypt cannot read is matched by nothing
        return False
