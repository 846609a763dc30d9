"""Specification of one simulated data source: type, role, lanes and ids, all drawn from the seed.

Ids are unique within a source only, which exposes readers that assume globally unique ids.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from exporter.simulator.world import states
from exporter.simulator.world.options import WorldOptions, chance, draw, pick
from exporter.simulator.world.planner import Planner
from exporter.simulator.world.plans import Plan, TablePlan
from exporter.simulator.world.source_clock import Outage, SourceClock
from exporter.simulator.world.states import Counts

FIRST_SOURCE_ID: Final = 2_000_001
TYPES: Final = ("HIVE", "BIGQUERY", "MAXCOMPUTE")
_ODD_TYPE: Final = "DataBricks"
_ODD_INDEX: Final = 3
_SPECIAL_FROM: Final = 6
_NOUNS: Final = (
    *("orders", "customers", "payments", "shipments", "clicks", "sessions", "invoices", "returns", "stock", "prices"),
    *("visits", "coupons", "reviews", "suppliers", "ledgers", "tickets", "devices", "sensors", "refunds", "routes"),
)
_FIELDS: Final = ("sales", "finance", "logs", "risk", "supply", "media", "crm", "iot")

_LANE, _AHEAD, _BASE, _WAVE_DB, _STOPPED, _OUTAGE = range(201, 207)


class Role(Enum):
    """Role of a source in the scenario."""

    MOVING = auto()
    IDLE = auto()
    RESTARTING = auto()
    FINISHED = auto()
    STOPPED = auto()
    START_FAILED = auto()


@dataclass(frozen=True, slots=True)
class Lane:
    """Consecutive jobs: a plan that repeats with new tables."""

    number: int
    plan: Plan
    ahead: float
    """Seconds of the first wave that have passed at the start."""
    waves: int | None
    """Number of waves; None: endless."""

    def is_over(self, moment: float) -> bool:
        """Return whether the last wave has ended."""
        return self.waves is not None and moment + self.ahead >= self.waves * self.plan.seconds

    def place(self, moment: float) -> tuple[int, float]:
        """Return the current wave and its age in seconds."""
        if self.waves is not None and self.is_over(moment):
            return self.waves - 1, self.plan.seconds
        wave, age = divmod(max(0.0, moment + self.ahead), self.plan.seconds)
        return int(wave), age

    def begin(self, wave: int) -> float:
        """Return the moment at which a wave begins."""
        return wave * self.plan.seconds - self.ahead

    def ended(self, moment: float) -> int:
        """Return how many jobs of this lane have ended."""
        wave, age = self.place(moment)
        running = 0 if self.is_over(moment) else 1
        return wave * len(self.plan.jobs) + bisect_right(self.plan.job_starts, age) - running

    def created(self, moment: float) -> int:
        """Return how many jobs of this lane have been created."""
        return self.ended(moment) + (not self.is_over(moment))


class Placement(NamedTuple):
    """A table's plan and its position in time and ids."""

    plan: TablePlan
    begin: float
    """The moment at which the plan starts."""
    first: int
    """The number of the plan's first table."""
    first_job: int
    """The id of the plan's first job; 0 for a settled table."""
    job_step: int
    """Id difference of consecutive jobs of the plan."""
    database: int


@dataclass(slots=True)
class SourceSpec:
    """A data source as its seed defines it.

    Only name, type, region and clock can change.
    """

    index: int
    options: WorldOptions
    name: str
    type: str
    role: Role
    base: Plan
    lanes: tuple[Lane, ...]
    wave_tables: int
    clock: SourceClock = field(default_factory=SourceClock)
    stopped_jobs: int = field(init=False)
    """Jobs stopped before the start: 0 or 1."""
    history: int = field(init=False)
    """Jobs that ended before the jobs of the lanes."""
    first_lane_job: int = field(init=False)
    """The id of the first lane's first job, after the past and the stopped jobs."""

    def __post_init__(self) -> None:
        ended = sum(lane.ended(0.0) for lane in self.lanes)
        finished = 0 if self.role is Role.START_FAILED else self.options.finished_jobs_per_source
        stopped = self.lanes and chance(*self.seed, _STOPPED) < self.options.stopped_share
        self.history = max(0, finished - ended)
        self.stopped_jobs = int(bool(stopped))
        self.first_lane_job = 1 + self.history + self.stopped_jobs

    @property
    def id(self) -> int:
        """The id in the API."""
        return FIRST_SOURCE_ID + self.index

    @property
    def seed(self) -> tuple[int, int]:
        """The keys of every random draw for this source."""
        return self.options.seed, self.index

    @property
    def databases(self) -> int:
        """Databases at the start."""
        return 0 if self.role is Role.START_FAILED else self.options.databases

    def tables(self, moment: float) -> Iterator[int]:
        """Yield the ids of all tables known at `moment`, ascending."""
        yield from range(1, len(self.base.tables) + 1)
        waves = [lane.place(moment)[0] for lane in self.lanes]
        for wave in range(max(waves, default=-1) + 1):
            for lane in self.lanes:
                if wave <= waves[lane.number]:
                    first = self.first_table(wave, lane)
                    yield from range(first, first + self.wave_tables)

    def first_table(self, wave: int, lane: Lane) -> int:
        """Return the number of the first table of a wave."""
        return len(self.base.tables) + 1 + (wave * len(self.lanes) + lane.number) * self.wave_tables

    def placement(self, table: int, moment: float) -> Placement | None:
        """Return a table's placement, None if unknown at `moment`."""
        settled = len(self.base.tables)
        if 1 <= table <= settled:
            return Placement(self.base.tables[table - 1], 0.0, 1, 0, 0, 1 + (table - 1) % self.databases)
        if table < 1 or not self.lanes:
            return None
        serial, place = divmod(table - settled - 1, self.wave_tables)
        wave, number = divmod(serial, len(self.lanes))
        lane = self.lanes[number]
        if wave > lane.place(moment)[0]:
            return None
        plan = lane.plan.tables[place]
        step = len(self.lanes)
        first_job = self.first_lane_job + wave * len(lane.plan.jobs) * step + number
        return Placement(plan, lane.begin(wave), table - place, first_job, step, self._database(wave, lane, plan))

    def _database(self, wave: int, lane: Lane, table: TablePlan) -> int:
        if table.own_database:
            return self.databases + 1 + wave * len(self.lanes) + lane.number
        return 1 + draw(*self.seed, _WAVE_DB, lane.number, wave) % self.databases

    def inventory(self, moment: float) -> tuple[int, int, int, Counts]:
        """Return databases, tables, partitions and counts by the plans alone."""
        databases, tables, partitions = self.databases, len(self.base.tables), self.base.partitions
        counts = [self.base.final_counts]
        for lane in self.lanes:
            wave, age = lane.place(moment)
            databases += (wave + 1) * lane.plan.own_databases
            tables += (wave + 1) * self.wave_tables
            partitions += (wave + 1) * lane.plan.partitions
            counts += (states.times(wave, lane.plan.final_counts), lane.plan.counts(age))
        return databases, tables, partitions, states.total(counts)

    def database_name(self, database: int) -> str:
        """Return a database's name; later databases are archives."""
        if database <= self.databases:
            field_, serial = _FIELDS[(database - 1) % len(_FIELDS)], (database - 1) // len(_FIELDS)
            return f"{field_}_{serial}" if serial else field_
        return f"archive_{database - self.databases}"

    def table_name(self, table: int) -> str:
        """Return a table's name; early names recur in every database."""
        if table <= len(self.base.tables):
            row = (table - 1) // self.databases
            noun, serial = _NOUNS[row % len(_NOUNS)], row // len(_NOUNS)
            return f"{noun}_{serial}" if serial else noun
        return f"{pick(_NOUNS, *self.seed, table)}_{table}"


def make_source(options: WorldOptions, planner: Planner, index: int, role: Role | None = None) -> SourceSpec:
    """Return the source with this index."""
    role = role or _role(options, index)
    busy = role is Role.MOVING or role is Role.RESTARTING
    lanes = _lanes(options, planner, index) if busy else ()
    settled = max(options.databases, options.tables - len(lanes) * planner.wave_tables)
    variant = draw(options.seed, index, _BASE)
    base = Plan(()) if role is Role.START_FAILED else planner.settled(variant, settled, finished=role is Role.FINISHED)
    source_type = _ODD_TYPE if options.special_sources and index == _ODD_INDEX else TYPES[index % len(TYPES)]
    name = f"{source_type.lower()}-{_FIELDS[index // len(TYPES) % len(_FIELDS)]}-{index + 1:03d}"
    clock = SourceClock(_outage(options, index, role) if options.incidents and busy else None)
    return SourceSpec(index, options, name, source_type, role, base, lanes, planner.wave_tables, clock)


def _role(options: WorldOptions, index: int) -> Role:
    special = (Role.START_FAILED, Role.STOPPED, Role.FINISHED, Role.RESTARTING)
    from_last = options.sources - 1 - index
    if options.special_sources and options.sources >= _SPECIAL_FROM and from_last < len(special):
        return special[from_last]
    # Idle sources are spread evenly, and their share is exact.
    idle = int((index + 1) * options.idle_share) > int(index * options.idle_share)
    return Role.IDLE if idle else Role.MOVING


def _lanes(options: WorldOptions, planner: Planner, index: int) -> tuple[Lane, ...]:
    return tuple(_lane(options, planner, index, number) for number in range(options.running_jobs_per_source))


def _lane(options: WorldOptions, planner: Planner, index: int, number: int) -> Lane:
    """Return a lane within its first wave."""
    plan = planner.wave(draw(options.seed, index, _LANE, number))
    ended = options.finished_jobs_per_source // options.running_jobs_per_source
    current = draw(options.seed, index, _AHEAD, number) % min(len(plan.jobs), ended + 1)
    job = plan.jobs[current]
    ahead = job.start + job.seconds * chance(options.seed, index, _AHEAD, number, current)
    return Lane(number, plan, ahead, options.waves)


def _outage(options: WorldOptions, index: int, role: Role) -> Outage | None:
    """Return the outage of a source, or None."""
    if role is Role.RESTARTING:
        return Outage(period=options.job_seconds * 6, seconds=options.job_seconds * 2)
    if index % 3 != 1:
        return None
    period = options.job_seconds * (6 + 6 * chance(options.seed, index, _OUTAGE))
    return Outage(period, seconds=options.job_seconds * 0.7)
