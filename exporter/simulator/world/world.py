"""The world: sources, clocks and applied events. Its state depends only on seed, options, time and events."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter
from typing import Final
from zoneinfo import ZoneInfo

from exporter.simulator.api import timer_runs
from exporter.simulator.api.parameters import not_found
from exporter.simulator.oracle import Oracle
from exporter.simulator.world.options import WorldOptions, draw
from exporter.simulator.world.planner import Planner
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.source_spec import FIRST_SOURCE_ID, Role, SourceSpec, make_source
from exporter.simulator.world.timers import HOURLY, SimulatedTimer

Happening = tuple[float, Callable[[], object]]
"""What happens by itself, with its world second."""
_TIMER: Final = 701


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
    """A clock that runs `speed` times real time, but never beyond `limit`."""

    def __init__(
        self,
        start: float,
        speed: float = 1.0,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        limit: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.speed = speed
        self._start = start
        self._limit = limit
        self._monotonic = monotonic
        self._origin = monotonic()

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return min(self._start + (self._monotonic() - self._origin) * self.speed, self._limit())


class World:
    """All data sources of an account and region, created lazily."""

    def __init__(self, options: WorldOptions | None = None, *, clock: Callable[[], float]) -> None:
        self.options = options or WorldOptions()
        self.clock = clock
        self.start = clock() if self.options.start is None else self.options.start
        self._removed: set[int] = set()
        self._planner = Planner(self.options)
        self._zone = ZoneInfo(self.options.zone)
        self._sites: dict[int, Site] = {}
        self._sites_with_timers: list[Site] = []
        self._count = self.options.sources
        self._happening_at: float | None = None
        """World second of what happens just now."""

    @property
    def held(self) -> int:
        """The number of sources in memory."""
        return len(self._sites)

    def seconds(self) -> float:
        """Return the world seconds; what is due happens first, each at its own time."""
        if self._happening_at is not None:
            return self._happening_at
        now = max(0.0, self.clock() - self.start)
        while (due := min(self._happenings(), key=itemgetter(0), default=None)) is not None and due[0] <= now:
            self._happening_at = due[0]
            try:
                due[1]()
            finally:
                self._happening_at = None
        return now

    def _happenings(self) -> Iterator[Happening]:
        """Yield what happens next by itself."""
        for site in self._sites_with_timers:
            for timer in site.timers.values():
                if not timer.stopped:
                    yield timer.due, partial(self._run_timer, site, timer)

    def _run_timer(self, site: Site, timer: SimulatedTimer) -> None:
        timer_runs.run(site, timer, self.at(site))
        self.schedule_timer(timer)

    def schedule_timer(self, timer: SimulatedTimer) -> None:
        """Set the next due time of a timer."""
        timer.set_due(self.seconds(), self.start, self._zone)

    def add_timer(self, site: Site, timer: SimulatedTimer) -> int:
        """Add a timer, schedule it, and return its id."""
        self.schedule_timer(timer)
        site.timers[timer.id] = timer
        if site not in self._sites_with_timers:
            self._sites_with_timers.append(site)
        return timer.id

    def at(self, site: Site, seconds: float | None = None) -> SourceTime:
        """Return a world second, default now, for a source."""
        return site.source.clock.at(self.seconds() if seconds is None else seconds)

    def source_ids(self) -> list[int]:
        """Return the ids of all sources, ascending."""
        ids = range(FIRST_SOURCE_ID, FIRST_SOURCE_ID + self._count)
        return [source_id for source_id in ids if source_id not in self._removed]

    def sites(self) -> Iterator[Site]:
        """Yield every source, by id."""
        return map(self.site, self.source_ids())

    def site(self, source_id: int) -> Site:
        """Return one source.

        Raises: Refusal if there is none.
        """
        index = source_id - FIRST_SOURCE_ID
        if not 0 <= index < self._count or source_id in self._removed:
            raise not_found("DataSource", source_id)
        if source_id not in self._sites:
            self._keep(make_source(self.options, self._planner, index))
        return self._sites[source_id]

    def truth(self) -> Oracle:
        """Return the ground truth at the current time."""
        return Oracle(self)

    def add(self, *, moving: bool) -> Site:
        """Add a source."""
        index, self._count = self._count, self._count + 1
        return self._keep(make_source(self.options, self._planner, index, Role.MOVING if moving else Role.IDLE))

    def remove(self, source_id: int) -> None:
        """Remove a source permanently.

        Raises: Refusal if there is none.
        """
        site = self.site(source_id)
        self._removed.add(source_id)
        self._sites_with_timers = [each for each in self._sites_with_timers if each is not site]
        del self._sites[source_id]

    def _keep(self, source: SourceSpec) -> Site:
        site = self._sites[source.id] = Site(source, self.start, self._zone)
        for number in range(1, 1 + min(self.options.timers, source.databases)):
            site.timers[number] = self._first_timer(source, number)
        if site.timers:
            self._sites_with_timers.append(site)
            self.seconds()  # what was due before the first look at the source happens now
        return site

    def _first_timer(self, source: SourceSpec, number: int) -> SimulatedTimer:
        name, value = f"hourly_{source.database_name(number)}", f"{draw(*source.seed, _TIMER, number) % 60:02d}"
        timer = SimulatedTimer(number, name, number, HOURLY, value, created=0.0)
        timer.set_due(0.0, self.start, self._zone)
        return timer
