"""One thing after another, several at a time: the trouble of one is never another's.

The one place, beside the loop of refreshes, where an unforeseen error is caught.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from structlog.stdlib import BoundLogger

from exporter.errors import ExporterError, InternalError, MmsError

T = TypeVar("T")

TURN_SECONDS: Final = 0.002
"""So long goes on what needs not wait for an answer; then others have their turn, scrapes among them."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """Works through the things of one account."""

    concurrency: int
    log: BoundLogger

    async def guarded(self, work: Awaitable[None], about: str = "") -> list[ExporterError]:
        """Return what went wrong in `work`, foreseen or not; `about` says for people what it was about."""
        try:
            await work
        except MmsError as error:
            error.about = about
            self.log.debug("read failed", about=about, reason=error.reason, error=str(error))
            error.__context__ = None
            return [error.with_traceback(None)]  # whose frames hold the answer that it came of, megabytes of it
        except Exception as error:
            self.log.exception("unexpected error", about=about)
            return [InternalError(f"unexpected error {type(error).__name__}; see the traceback in the log")]
        return []

    async def each(
        self,
        things: Iterable[T],
        work: Callable[[T], Awaitable[None]],
        name_of: Callable[[T], str] = lambda _: "",
    ) -> list[ExporterError]:
        """Do `work` for each of `things`, and return what went wrong; `name_of` names a thing for people."""
        waiting = iter(things)
        errors: list[ExporterError] = []
        loop = asyncio.get_running_loop()
        turn_ends = loop.time() + TURN_SECONDS

        async def work_off() -> None:
            nonlocal turn_ends
            for thing in waiting:
                errors.extend(await self.guarded(work(thing), name_of(thing)))
                if loop.time() > turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = loop.time() + TURN_SECONDS

        async with asyncio.TaskGroup() as group:
            for _ in range(self.concurrency):
                group.create_task(work_off())
        return errors
