"""Time that passes only while nothing happens, and then at once: for tests in which only this process is at work.

However slow the machine is, what is due in a quarter of a second comes after all that can be done at once; and nobody
waits for it. It must not be used where another process, or a thread that takes long, is waited for.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Final

import pytest

QUIET_SECONDS: Final = 0.01
"""Of the machine: when nothing has come by then, nothing comes before the next timer."""

Events = list[tuple[selectors.SelectorKey, int]]


class _Patience(selectors.DefaultSelector):
    """Waits a moment at the most, and tells how long it was to wait when nothing came."""

    def __init__(self, leap: Callable[[float], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> Events:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(min(timeout, QUIET_SECONDS))
        if not events:
            self._leap(timeout)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while there is anything to do, and else leaps to what is due next."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Patience(self._pass))

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


def loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the one loop that a test runs on, as pytest_asyncio asks for it."""
    return {"loop": VirtualTimeLoop if item.get_closest_marker("leaping") else asyncio.new_event_loop}
