"""A watchdog in an event loop: how long the loop was held at a time, by the process itself.

A beat that comes late may be the machine's doing: the thread of the loop waited for a processor, as the kernel counts.
What is left is the process's doing: the loop's thread ran, or waited for another thread to give it the interpreter.
While another thread has the interpreter but no processor, that too is the machine's.
"""

import asyncio
import threading
import time
from typing import Any

from benchmarks.machine import thread_milliseconds

BEAT_SECONDS = 0.002
WORTH_NOTING_MS = 5.0


class Heartbeat:
    """Beats in the running loop and keeps what came late."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._held: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.create_task(self._beat(), name="heartbeat")

    async def _beat(self) -> None:
        own = str(threading.get_native_id())
        before, since = thread_milliseconds(), time.perf_counter()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            late = (time.perf_counter() - since - BEAT_SECONDS) * 1000
            now = thread_milliseconds()
            if late > WORTH_NOTING_MS:
                self._late.append(late)
                self._held.append(held_milliseconds(own, late, before, now))
            before, since = now, time.perf_counter()

    def report(self) -> dict[str, Any]:
        """Return the longest that the loop was late, and was held, in milliseconds."""
        return {"late": max(self._late, default=0.0), "held": max(self._held, default=0.0), "beats": len(self._late)}


def held_milliseconds(
    own: str, late: float, before: dict[str, tuple[float, float]], now: dict[str, tuple[float, float]]
) -> float:
    """Return how much of a late beat is the process's doing; `own` is the thread of the loop."""
    passed = {thread: _minus(times, before.get(thread, (0.0, 0.0))) for thread, times in now.items()}
    ran, waited = passed.pop(own)
    for_interpreter = late - ran - waited - sum(waited for _, waited in passed.values())
    return min(late, ran + max(0.0, for_interpreter))


def _minus(times: tuple[float, float], others: tuple[float, float]) -> tuple[float, float]:
    return times[0] - others[0], times[1] - others[1]
