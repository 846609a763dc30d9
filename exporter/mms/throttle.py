"""How hard an account is asked: so many requests at a time, so many a second, and none while MMS asks to wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiolimiter import AsyncLimiter

from exporter.clock import Clock
from exporter.errors import Throttled
from exporter.mms.observer import Observer

MAX_SERVER_WAIT_SECONDS: Final = 900.0
"""The longest wait that a server may ask for; a longer one is taken for this."""
FIRST_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard an account may be asked."""

    requests_per_second: float = 10.0
    """0 for no limit."""
    concurrency: int = 8
    timeout_seconds: float = 10.0
    """Of one attempt, from connecting to the last byte."""

    @property
    def max_wait_seconds(self) -> float:
        """How long one call may go on: waiting its turn while MMS asks for it, or being retried."""
        return 3 * self.timeout_seconds


DEFAULT_LIMITS: Final = Limits()


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Return how long to wait after the failed attempt `attempt`, from 1: full jitter, `jitter` in [0, 1)."""
    return jitter * min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (attempt - 1))


class Throttle:
    """Gives each request of one account its turn."""

    def __init__(self, limits: Limits, observer: Observer, clock: Clock) -> None:
        rate = limits.requests_per_second
        self._limiter = AsyncLimiter(1, 1 / rate) if rate else None
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._patience_seconds = limits.max_wait_seconds
        self._paused_until: dict[str, float] = {}
        self._observer = observer
        self._clock = clock

    def pause(self, operation: str, seconds: float) -> None:
        """Send no request of `operation` for `seconds`: the quota is one for all who ask."""
        self._paused_until[operation] = self._clock.monotonic() + min(seconds, MAX_SERVER_WAIT_SECONDS)

    def take_over(self, before: "Throttle") -> None:
        """Wait as long as another of the same account still had to."""
        self._paused_until = dict(before._paused_until)  # noqa: SLF001 - of the same class

    @asynccontextmanager
    async def turn(self, operation: str) -> AsyncIterator[None]:
        """Wait until a request of `operation` may be sent, and hold its slot while it is.

        Raises: Throttled where MMS asked to wait for longer than a call may take.
        """
        while True:
            await self._sit_out_pause(operation)
            async with self._slots:
                await self._keep_rate(operation)
                if self._pause_seconds(operation) <= 0:
                    yield
                    return

    def _pause_seconds(self, operation: str) -> float:
        return self._paused_until.get(operation, 0.0) - self._clock.monotonic()

    async def _sit_out_pause(self, operation: str) -> None:
        pause = self._pause_seconds(operation)
        if pause > self._patience_seconds:
            error = Throttled(f"{operation} was not sent: MMS asked to wait {pause:.0f} s", wait_seconds=pause)
            error.is_certain = True
            raise error
        if pause > 0:
            self._observer.waited(operation, pause)
            await self._clock.sleep(pause)

    async def _keep_rate(self, operation: str) -> None:
        if self._limiter is not None:
            started = self._clock.monotonic()
            await self._limiter.acquire()
            self._observer.waited(operation, self._clock.monotonic() - started)
