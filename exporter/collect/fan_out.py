"""Runs work items concurrently and isolates their errors.

Beside the refresh loop, the only module that catches unexpected exceptions.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from structlog.stdlib import BoundLogger

from exporter.errors import ExporterError, InternalError, MmsError

T = TypeVar("T")

MAX_SLICE_SECONDS: Final = 0.002
"""Work without I/O yields to the event loop after this time, so that scrapes are not delayed."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """A pool of `concurrency` workers for one account."""

    concurrency: int
    log: BoundLogger

    async def run_guarded(self, work: Awaitable[None], about: str = "") -> list[ExporterError]:
        """Run `work` and return its errors; `about` names it in logs."""
        try:
            await work
        except MmsError as error:
            error.about = about
            self.log.debug("read failed", about=about, reason=error.reason, error=str(error))
            return [error.without_frames()]
        except Exception as error:
            self.log.exception("unexpected error", about=about)
            return [InternalError(f"unexpected error {type(error).__name__}; see the traceback in the log")]
        return []

    async def for_each(
        self,
        items: Iterable[T],
        work: Callable[[T], Awaitable[None]],
        name_of: Callable[[T], str] = lambda _: "",
    ) -> list[ExporterError]:
        """Run `work` for each item and return all errors.

        `name_of` names an item in logs.
        """
        pending = iter(items)
        errors: list[ExporterError] = []
        loop = asyncio.get_running_loop()
        slice_end = loop.time() + MAX_SLICE_SECONDS

        async def worker() -> None:
            nonlocal slice_end
            for item in pending:
                errors.extend(await self.run_guarded(work(item), name_of(item)))
                if loop.time() > slice_end:
                    await asyncio.sleep(0)
                    slice_end = loop.time() + MAX_SLICE_SECONDS

        async with asyncio.TaskGroup() as group:
            for _ in range(self.concurrency):
                group.create_task(worker())
        return errors
