"""Durations measured alternately, so that all candidates see the same machine."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 7


def timed(*works: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the median milliseconds of each of `works`."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for each, work in zip(spent, works, strict=True):
            each.append(milliseconds(work))
    return [statistics.median(each) for each in spent]


def milliseconds(work: Callable[[], object]) -> float:
    """Return the duration of `work`."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def percentile(values: list[float], share: float) -> float:
    """Return the percentile `share` (0 to 1) of values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
