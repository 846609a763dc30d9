"""The two clocks and the sleep of this program, so that a test can move them by hand."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the time comes from."""

    wall: Callable[[], float] = time.time
    """Unix seconds: for timestamps that leave the program."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never jump: for ages and durations."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM_CLOCK = Clock()
