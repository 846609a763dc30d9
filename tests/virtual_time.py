"""An event loop with virtual time: its clock skips to the next timer as soon as the loop is idle.

Timers fire only after all ready work is done, however slow the machine is. Unsuitable for tests that wait for another
process or for a slow thread.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Final

import pytest

QUIET_SECONDS: Final = 0.01
"""Real time without I/O events after which the loop counts as idle."""

Events = list[tuple[selectors.SelectorKey, int]]


class _SkippingSelector(selectors.DefaultSelector):
    """Waits QUIET_SECONDS at most, and skips the rest of the timeout if idle."""

    def __init__(self, skip: Callable[[float], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> Events:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(min(timeout, QUIET_SECONDS))
        if not events:
            self._skip(timeout)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it is idle."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_SkippingSelector(self._advance))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait for the threads without a limit, which would be over at once."""
        await super().shutdown_default_executor()

    def _advance(self, seconds: float) -> None:
        self._now += seconds


def loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loop factory of a test for pytest-asyncio."""
    return {"loop": VirtualTimeLoop if item.get_closest_marker("virtual_time") else asyncio.new_event_loop}
