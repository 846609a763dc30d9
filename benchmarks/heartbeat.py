"""Event loop watchdog: measures how long the process itself stalled the loop.

A late beat can have two causes. The machine: the loop's thread, or the thread with the interpreter lock, waited for a
CPU, as counted by the kernel. The process: the loop's thread ran, or waited for the lock while its holder ran.
"""

import asyncio
import threading
import time
from typing import Any

from benchmarks.machine import thread_milliseconds

BEAT_SECONDS = 0.002
MIN_DELAY_MS = 5.0


class Heartbeat:
    """Wakes up periodically in the loop and records delays."""

    def __init__(self) -> None:
        self._delays: list[float] = []
        self._stalls: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the watchdog."""
        self._task = asyncio.create_task(self._beat(), name="heartbeat")

    async def _beat(self) -> None:
        own = str(threading.get_native_id())
        before, since = thread_milliseconds(), time.perf_counter()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            late = (time.perf_counter() - since - BEAT_SECONDS) * 1000
            now = thread_milliseconds()
            if late > MIN_DELAY_MS:
                self._delays.append(late)
                self._stalls.append(stall_milliseconds(own, late, before, now))
            before, since = now, time.perf_counter()

    def report(self) -> dict[str, Any]:
        """Return the longest delay and stall in milliseconds."""
        return {
            "late": max(self._delays, default=0.0),
            "stall": max(self._stalls, default=0.0),
            "beats": len(self._delays),
        }


def stall_milliseconds(
    own: str, late: float, before: dict[str, tuple[float, float]], now: dict[str, tuple[float, float]]
) -> float:
    """Return the share of a delay that the process caused.

    `own` is the thread of the loop.
    """
    passed = {thread: _minus(times, before.get(thread, (0.0, 0.0))) for thread, times in now.items()}
    ran, waited = passed.pop(own)
    for_interpreter = late - ran - waited - sum(waited for _, waited in passed.values())
    return min(late, ran + max(0.0, for_interpreter))


def _minus(times: tuple[float, float], others: tuple[float, float]) -> tuple[float, float]:
    return times[0] - others[0], times[1] - others[1]
