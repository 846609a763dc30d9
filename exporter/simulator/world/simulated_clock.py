"""Simulated clocks: callables that return Unix seconds."""

import time
from collections.abc import Callable


class ManualClock:
    """A clock that moves only by `advance`."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`, or back if negative."""
        self._now += seconds


class ScaledClock:
    """A clock that runs `speed` times real time."""

    def __init__(self, start: float, speed: float = 1.0, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.speed = speed
        self._start = start
        self._monotonic = monotonic
        self._origin = monotonic()

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self._start + (self._monotonic() - self._origin) * self.speed
