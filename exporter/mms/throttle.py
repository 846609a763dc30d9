"""Request throttling per account: concurrency, rate limit and server-requested waits.

Owns the Observer too, which a client tells of its waits and calls.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from aiolimiter import AsyncLimiter

from exporter.clock import Clock
from exporter.errors import Throttled

MAX_SERVER_WAIT_SECONDS: Final = 900.0
"""Upper bound of a server-requested wait."""
FIRST_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Request limits of an account."""

    requests_per_second: float = 10.0
    """0 disables the rate limit."""
    concurrency: int = 8
    timeout_seconds: float = 10.0
    """Timeout of one attempt, from connect to the last byte."""

    @property
    def max_wait_seconds(self) -> float:
        """Maximum total wait of one call, retries included."""
        return 3 * self.timeout_seconds


DEFAULT_LIMITS: Final = Limits()


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Return the exponential backoff with full jitter.

    `attempt` starts at 1; `jitter` is in [0, 1).
    """
    return jitter * min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (attempt - 1))


class Observer(Protocol):
    """Receives the events of one account; must not block or raise."""

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Record a finished attempt; `reason` is None after success."""

    def retried(self, operation: str) -> None:
        """Record that a failed attempt will be retried."""

    def waited(self, operation: str, seconds: float) -> None:
        """Record a delay by rate limit or server-requested wait."""

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Record unusable values: API field names, "row" for a row."""

    def unrefused(self, operation: str) -> None:
        """Record that a refusal of an operation has ended without a call."""


class Throttle:
    """Limits the requests of one account."""

    def __init__(self, limits: Limits, observer: Observer, clock: Clock) -> None:
        rate = limits.requests_per_second
        self._limiter = AsyncLimiter(1, 1 / rate) if rate else None
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._max_wait_seconds = limits.max_wait_seconds
        self._paused_until: dict[str, float] = {}
        self._observer = observer
        self._clock = clock

    def pause(self, operation: str, seconds: float) -> None:
        """Pause an operation, whose server quota all callers share."""
        self._paused_until[operation] = self._clock.monotonic() + min(seconds, MAX_SERVER_WAIT_SECONDS)

    def inherit_from(self, before: "Throttle") -> None:
        """Keep the remaining pauses of the previous throttle."""
        self._paused_until = dict(before._paused_until)  # noqa: SLF001 - of the same class

    @asynccontextmanager
    async def slot(self, operation: str) -> AsyncIterator[None]:
        """Wait until a request may start, and hold its slot.

        Raises: Throttled if the remaining pause exceeds the maximum wait.
        """
        while True:
            await self._wait_for_pause(operation)
            async with self._slots:
                await self._wait_for_rate(operation)
                if self._pause_seconds(operation) <= 0:
                    yield
                    return

    def _pause_seconds(self, operation: str) -> float:
        return self._paused_until.get(operation, 0.0) - self._clock.monotonic()

    async def _wait_for_pause(self, operation: str) -> None:
        pause = self._pause_seconds(operation)
        if pause > self._max_wait_seconds:
            error = Throttled(f"{operation} was not sent: MMS asked to wait {pause:.0f} s", wait_seconds=pause)
            error.is_certain = True
            raise error
        if pause > 0:
            self._observer.waited(operation, pause)
            await self._clock.sleep(pause)

    async def _wait_for_rate(self, operation: str) -> None:
        if self._limiter is not None:
            started = self._clock.monotonic()
            await self._limiter.acquire()
            self._observer.waited(operation, self._clock.monotonic() - started)
