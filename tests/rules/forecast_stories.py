"""Seeded migrations of different shapes, as the series that an exporter would serve.

A story is a queue of tables and partitions of several databases and a number of workers that take from it. Sizes are
lognormal, the work of an object grows with its size, and all workers share a speed that varies over time.
"""

import heapq
import math
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

STEP_MINUTES = 5
AN_HOUR = 60 // STEP_MINUTES
SHAPES = {"steady": 4, "slowing": 4, "bursts": 3, "one long last table": 3, "second wave": 3, "outage": 3}
"""The twenty stories: how many seeds each shape has."""
STATUSES = {"tables": ("DONE", "DOING", "PART_DONE", "FAILED"), "partitions": ("DONE", "DOING", "FAILED")}

Series = dict[str, list[int]]
"""Values per step by selector."""


@dataclass(slots=True)
class _Object:
    """A partition, or a table without partitions. Times are in hours of work at full speed."""

    database: int
    table: int
    kind: str
    size: float
    arrives: float = 0.0
    hours: float = 0.0
    begins: float = 0.0
    ends: float = 0.0
    is_failed: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """One migration, with one value per step."""

    shape: str
    start: int
    """The step at which work begins; the exporter has run before."""
    end: int
    """The step at which nothing is left."""
    series: Series

    def is_second_half(self, step: int) -> bool:
        """Return whether at least half of the time has passed and work is left."""
        return (self.start + self.end) / 2 <= step < self.end


def story(shape: str, seed: int) -> Story:
    """Return a story; the same seed gives the same series."""
    rng = random.Random(f"{shape} {seed}")
    hours = 8 * 5 ** rng.random()
    queue = _queue(rng, shape, hours)
    speed = _speed(rng, shape, hours)
    worked, start = list(accumulate(speed)), rng.randrange(6 * AN_HOUR)

    def step(at: float) -> int:
        return start + bisect_left(worked, at) + 1

    end = max(step(each.ends) for each in queue)
    offline = shape == "outage" and rng.random() < 0.5
    online = [1] * start + [int(at > 0 or not offline) for at in speed]
    series = _Counts(end + 2).of(queue, step) | {"mms_datasource_agent_online": online[: end + 2]}
    return Story(shape, start, end, series)


def _queue(rng: random.Random, shape: str, hours: float) -> list[_Object]:
    """Return all objects, with the times at which each begins and ends."""
    databases = [rng.lognormvariate(0, 0.8) for _ in range(rng.randint(3, 8))]
    order = sorted(_objects(rng, databases, 0), key=lambda each: each.database + 1.5 * rng.random())
    work, workers = sum(map(_work, order)), rng.randint(8, 32)
    if shape == "one long last table":
        # One worker is busy with it for 15 to 40 % of the time that all the rest takes.
        size = (rng.uniform(0.15, 0.4) * work / workers) ** 2
        order.append(_Object(rng.randrange(len(databases)), 1_000, "tables", size))
    if shape == "second wave":
        at, share = rng.uniform(0.25, 0.7) * hours, rng.uniform(0.2, 0.6)
        for each in _objects(rng, databases, 1_000):
            if rng.random() < share:
                each.arrives = at
                order.append(each)
    failing, free = rng.uniform(0, 0.03), [0.0] * workers
    for each in order:
        each.begins = max(heapq.heappop(free), each.arrives)
        each.ends = each.begins + _work(each) * workers * hours / work
        each.is_failed = rng.random() < failing
        heapq.heappush(free, each.ends)
    return order


def _objects(rng: random.Random, databases: list[float], first_table: int) -> Iterator[_Object]:
    for database, scale in enumerate(databases):
        for table in range(first_table, first_table + rng.randint(5, 40)):
            partitions = round(rng.lognormvariate(2.5, 1)) if rng.random() < 0.6 else 0
            for _ in range(max(1, partitions)):
                size = scale * rng.lognormvariate(0, 1.2)
                yield _Object(database, table, "partitions" if partitions else "tables", size)


def _work(each: _Object) -> float:
    """Return the work of an object: larger ones are split, and each costs something."""
    return 0.2 + math.sqrt(each.size)


def _speed(rng: random.Random, shape: str, hours: float) -> list[float]:
    """Return the hours of work at full speed in each step, for longer than any story."""
    length = round(hours * AN_HOUR)
    noise, speed = 0.0, []
    for _ in range(6 * length):
        noise = 0.95 * noise + rng.gauss(0, 0.05)
        speed.append(math.exp(noise) / AN_HOUR)
    if shape == "slowing":
        floor = rng.uniform(0.25, 0.5)
        speed = [each * max(floor, 1 - (1 - floor) * at / length) for at, each in enumerate(speed)]
    if shape == "bursts":
        speed = [each * is_on for each, is_on in zip(speed, _in_bursts(rng), strict=False)]
    if shape == "outage":
        for _ in range(rng.randint(1, 2)):
            begin, lasts = round(rng.uniform(0.1, 0.9) * length), rng.randint(AN_HOUR, 8 * AN_HOUR)
            speed[begin : begin + lasts] = [0.0] * lasts
    return speed


def _in_bursts(rng: random.Random) -> Iterator[bool]:
    """Yield 1 to 4 hours of work, 30 minutes to 3 hours without, and so on."""
    while True:
        yield from [True] * rng.randint(AN_HOUR, 4 * AN_HOUR)
        yield from [False] * rng.randint(AN_HOUR // 2, 3 * AN_HOUR)


class _Counts:
    """Objects by database, kind and status, as changes per step."""

    def __init__(self, length: int) -> None:
        self._changes: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0] * length)

    def of(self, queue: list[_Object], step: Callable[[float], int]) -> Series:
        """Return the series of a queue."""
        tables: defaultdict[tuple[int, int], list[_Object]] = defaultdict(list)
        for each in queue:
            tables[each.database, each.table].append(each)
            self._note("size_bytes", each, step(each.arrives) if each.arrives else 0, round(1e9 * each.size))
            if each.kind == "partitions":
                self._add(each.kind, [each], step)
        for parts in tables.values():
            self._add("tables", parts, step)
        return self._series()

    def _add(self, kind: str, parts: list[_Object], step: Callable[[float], int]) -> None:
        first, begins, ends = parts[0], min(each.begins for each in parts), max(each.ends for each in parts)
        self._note(f"metadata_{kind}", first, step(first.arrives) if first.arrives else 0)
        self._note(kind, first, step(begins), status="DOING")
        self._note(kind, first, step(ends), -1, status="DOING")
        self._note(kind, first, step(ends), status=_status(parts))

    def _note(self, metric: str, each: _Object, step: int, change: int = 1, status: str = "") -> None:
        self._changes[metric, f"db{each.database}", status][step] += change

    def _series(self) -> Series:
        found: Series = {}
        of_source: defaultdict[str, list[list[int]]] = defaultdict(list)
        databases = {database for _, database, _ in self._changes}
        for metric, statuses in STATUSES.items():
            for database in databases:
                for status in statuses:
                    values = list(accumulate(self._changes[metric, database, status]))
                    found[f'mms_database_{metric}{{src_db="{database}",status="{status}"}}'] = values
                    of_source[f'mms_{metric}{{status="{status}"}}'].append(values)
        for database in databases:
            for metric in ("metadata_tables", "metadata_partitions", "size_bytes"):
                values = list(accumulate(self._changes[metric, database, ""]))
                found[f'mms_database_{metric}{{src_db="{database}"}}'] = values
                of_source[f"mms_{metric}"].append(values)
        del of_source["mms_size_bytes"]
        return found | {each: list(map(sum, zip(*values, strict=True))) for each, values in of_source.items()}


def _status(parts: list[_Object]) -> str:
    failed = sum(each.is_failed for each in parts)
    return "DONE" if not failed else "FAILED" if failed == len(parts) else "PART_DONE"
