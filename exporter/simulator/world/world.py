"""The world: sources, clocks and applied events. Its state depends only on seed, options, time and events."""

import math
import time
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from exporter.simulator.api.parameters import not_found
from exporter.simulator.oracle import Oracle
from exporter.simulator.world.options import WorldOptions
from exporter.simulator.world.planner import Planner
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.source_spec import FIRST_SOURCE_ID, Role, SourceSpec, make_source


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
        self._count = self.options.sources

    @property
    def held(self) -> int:
        """The number of sources in memory."""
        return len(self._sites)

    def seconds(self) -> float:
        """Return the world seconds since the start."""
        return max(0.0, self.clock() - self.start)

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
        self._removed.add(self.site(source_id).id)
        del self._sites[source_id]

    def _keep(self, source: SourceSpec) -> Site:
        site = self._sites[source.id] = Site(source, self.start, self._zone)
        return site
