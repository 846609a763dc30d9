"""Clocks and sleep as a parameter, so that tests can control time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Time source of the program."""

    wall: Callable[[], float] = time.time
    """Unix seconds, for exported timestamps."""
    monotonic: Callable[[], float] = time.monotonic
    """Monotonic seconds, for ages and durations."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM_CLOCK = Clock()
