"""What one run needs, and how it polls MMS."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple, TypeVar

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import MmsError, RetryStopped
from exporter.mms.client import Client
from exporter.mms.models.records import Job
from exporter.retry.journal import Journal

T = TypeVar("T")

SETTLE_SECONDS: Final = 300.0
"""Default lag of lists and statuses behind jobs. UNVERIFIED: the real lag; a live account would show it."""

Notify = Callable[[str], None]
"""Receives progress messages, one sentence each."""


class Polling(NamedTuple):
    """Intervals between polls, which grow, and the tolerated errors."""

    first_seconds: float
    max_seconds: float
    max_failures: int
    """Consecutive failed polls that end the polling; each includes the client's own retries."""
    growth: float = 1.5


@dataclass(frozen=True, slots=True)
class RetryContext:
    """What one run needs to create and follow its jobs."""

    client: Client
    journal: Journal
    notify: Notify
    clock: Clock = SYSTEM_CLOCK
    planned_at: float | None = None
    """Monotonic time at which the plan read its statuses; None for an earlier process."""
    settle_seconds: float = SETTLE_SECONDS
    """How long a list or a status may lag behind a job."""
    earlier: tuple[Job, ...] = ()
    """Jobs of earlier runs that may be in progress and not listed yet."""
    resend: bool = False
    """Whether the user confirmed that the jobs in doubt were not created."""

    @property
    def source_id(self) -> int:
        """ID of the data source."""
        return self.journal.run.source_id

    async def poll(
        self, polling: Polling, read: Callable[[bool], Awaitable[T | None]], seconds: float = inf
    ) -> T | None:
        """Call `read` until it returns a value; the last call, after `seconds`, gets True.

        Raises: MmsError after too many failures, or if the last call fails.
        """
        until, wait, failures = self.clock.monotonic() + seconds, polling.first_seconds, 0
        while True:
            is_last = self.clock.monotonic() >= until
            try:
                found = await read(is_last)
            except MmsError:
                failures += 1
                if is_last or failures >= polling.max_failures:
                    raise
            else:
                failures = 0
                if is_last or found is not None:
                    return found
            await self.clock.sleep(wait)
            wait = min(polling.max_seconds, polling.growth * wait)


@contextmanager
def stop_on_error(consequence: str) -> Iterator[None]:
    """Convert an error of MMS into RetryStopped, with its consequence."""
    try:
        yield
    except MmsError as error:
        raise RetryStopped(f"{error}: {consequence}; {error.hint}") from None
