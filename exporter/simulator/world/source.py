"""One data source with its tables, jobs and names. Holds the facts that no counter depends on."""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final

from exporter.simulator.world.inventory import Inventory
from exporter.simulator.world.job_store import JobStore, SimulatedJob
from exporter.simulator.world.options import chance, draw
from exporter.simulator.world.scans import ScanHistory
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.source_spec import Role, SourceSpec
from exporter.simulator.world.timers import SimulatedTimer

AGENT: Final = "agent"
STALL: Final = "stall"

_RESTARTS: Final = (
    ((0.2, "STOPPING"), (0.6, "STOPPED"), (1.0, "STARTING")),
    (
        (0.15, "STOPPING"),
        (0.35, "STOP_FAILED"),
        (0.5, "STOPPED"),
        (0.65, "STARTING"),
        (0.85, "START_FAILED"),
        (1.0, "STARTING"),
    ),
)
"""Phases of a restart: the share at which each ends, and its status."""
_AGENT_UP: Final = ("STARTED", "STOPPING", "STOP_FAILED")
_CREATED_BEFORE_SECONDS: Final = 5 * 86400.0
_FIRST_DAY: Final = date(2024, 1, 1).toordinal()
_REGIONS: Final = ("eu", "cn", "us")
_ETA, _SIZE, _ROWS, _WIDTH = 401, 402, 403, 404

_FEWEST_ROWS, _TAIL, _SMALLEST_SHARE = 20_000, 0.86, 1e-6
"""Of a unit: fewest rows; exponent of their distribution, 20 % of the tables hold 80 %; limit of its tail."""


class Site:
    """One data source, its tables and its jobs."""

    def __init__(self, source: SourceSpec, start: float, zone: tzinfo) -> None:
        self.source = source
        self.inventory = Inventory(source)
        self.job_store = JobStore(source)
        self.scans = ScanHistory(source, self.job_store.oldest)
        self.texts: dict[tuple[str, int], dict[str, str]] = {}
        """Texts set by events, by kind of object and id, then by API field name."""
        self.timers: dict[int, SimulatedTimer] = {}
        """Timers by id."""
        self.is_writable = True
        """Whether it has the permission to write at the destination."""
        self.denied_jobs: set[int] = set()
        """Ids of the jobs that were created without it."""
        self._volumes: dict[int, tuple[int, int]] = {}
        """Bytes and rows of tables found together, by the first of them."""
        self.region = source.options.region
        self.partition_stride = 2 * source.options.partitions + 2
        self._start = start
        self._zone = zone

    @property
    def id(self) -> int:
        """The id in the API."""
        return self.source.id

    def text(self, kind: str, number: int, field: str, default: str) -> str:
        """Return a text set by an event, or `default`."""
        texts = self.texts.get((kind, number))
        return default if texts is None else texts.get(field, default)

    def time(self, moment: float) -> str:
        """Format a moment as the API writes times."""
        return self.world_time(self.source.clock.seconds(moment))

    def world_time(self, seconds: float) -> str:
        """Format a world second as the API writes times."""
        instant = datetime.fromtimestamp(self._start + seconds, UTC)
        return instant.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def status(self, at: SourceTime) -> str:
        """Return the source's status."""
        fixed = {Role.STOPPED: "STOPPED", Role.START_FAILED: "START_FAILED"}.get(self.source.role)
        status = fixed or self._story_status(at)
        return self.text("source", self.id, "status", status)

    def _story_status(self, at: SourceTime) -> str:
        outage = self.source.clock.outage
        if self.source.role is not Role.RESTARTING or outage is None:
            return "STARTED"
        cycle, share = outage.place(self.source.clock.story(at.seconds))
        return next(status for until, status in _RESTARTS[cycle % 2] if share < until) if share >= 0 else "STARTED"

    def agent_is_online(self, at: SourceTime) -> bool:
        """Return whether the agent is online."""
        if self.source.clock.is_paused_for(AGENT):
            return False
        status, outage = self.status(at), self.source.clock.outage
        if self.source.role is Role.RESTARTING or outage is None:
            return status in _AGENT_UP
        return status in _AGENT_UP and outage.place(self.source.clock.story(at.seconds))[1] < 0

    def err_msg(self, at: SourceTime) -> str | None:
        """Return why a start or stop failed, or None."""
        status = self.status(at)
        if not status.endswith("_FAILED"):
            return None
        return self.text("source", self.id, "errMsg", f"unexpected exception: {status} of agent of {self.source.name}")

    def created(self) -> float:
        """Return the moment at which the source was created."""
        return self.job_store.oldest - _CREATED_BEFORE_SECONDS

    def scan(self, at: SourceTime) -> tuple[int, str | None, float | None]:
        """Return the last scan's id and status, and last success."""
        return self.scans.last(at.moment)

    def table_name(self, table: int) -> str:
        """Return the name of a table."""
        return self.text("table", table, "name", self.source.table_name(table))

    def partition_id(self, table: int, unit: int) -> int:
        """Return the id of a partition."""
        return table * self.partition_stride + unit + 1

    def partition_place(self, partition_id: int, at: SourceTime) -> tuple[int, int] | None:
        """Return table and unit of a partition, None if missing."""
        table, unit = divmod(partition_id - 1, self.partition_stride)
        plan = self.inventory.plan(table, at.moment)
        return (table, unit) if plan is not None and unit < plan.partitions else None

    def partition_keys(self, table: int) -> tuple[str, ...]:
        """Return the names of a table's partition columns."""
        return ("ds",) if draw(*self.source.seed, table) % 3 else ("ds", "region")

    def partition_value(self, table: int, unit: int) -> str:
        """Return a partition's value, as in `ds=20240101/region=cn`."""
        keys = self.partition_keys(table)
        day, place = divmod(unit, len(_REGIONS)) if len(keys) > 1 else (unit, 0)
        value = f"ds={date.fromordinal(_FIRST_DAY + day):%Y%m%d}"
        value = f"{value}/region={_REGIONS[place]}" if len(keys) > 1 else value
        return self.text("partition", self.partition_id(table, unit), "value", value)

    def volume(self, table: int, first: int, units: int) -> tuple[int, int]:
        """Return bytes and rows of consecutive units of a table."""
        # Pareto: few tables hold most of the rows.
        share = max(1 - chance(*self.source.seed, _ROWS, table), _SMALLEST_SHARE)
        rows = int(_FEWEST_ROWS * share**-_TAIL)
        width = 16 + draw(*self.source.seed, _WIDTH, table) % 240
        rows = units * rows + (units * (2 * first + units - 1)) // 2
        return rows * width, rows

    def database_volumes(self, moment: float) -> dict[int, tuple[int, int]]:
        """Return bytes and rows of each database known at `moment`."""
        found: dict[int, tuple[int, int]] = {}
        for share in self.inventory.shares(moment):
            if share.tables[0] not in self._volumes:
                units = (table.units for table in share.plan.tables)
                volumes = [self.volume(table, 0, count) for table, count in zip(share.tables, units, strict=True)]
                self._volumes[share.tables[0]] = sum(size for size, _ in volumes), sum(rows for _, rows in volumes)
            before, added = found.get(share.database, (0, 0)), self._volumes[share.tables[0]]
            found[share.database] = before[0] + added[0], before[1] + added[1]
        return found

    def job_name(self, job: SimulatedJob) -> str:
        """Return the name of a job."""
        default = job.name or f"migrate_{self.source.database_name(job.database)}_{job.id}"
        return self.text("job", job.id, "name", default)

    def job_time(self, job: SimulatedJob, seconds: float = 0.0) -> str:
        """Return the time `seconds` after the creation of a job."""
        if job.created_at is None:
            return self.time(job.created + seconds)
        return self.world_time(job.created_at + seconds)

    def job_eta(self, job: SimulatedJob) -> str:
        """Return a job's eta: empty, a time or a date."""
        share = chance(*self.source.seed, _ETA, job.id)
        planned = self.job_time(job, 2 * job.plan.seconds)
        default = planned if share < 1 / 5 else planned[:10] if share < 3 / 10 else ""
        return self.text("job", job.id, "eta", job.eta or default)

    def last_ddl(self, table: int, unit: int) -> str:
        """Return when a unit last changed in the source."""
        age = timedelta(seconds=draw(*self.source.seed, _SIZE, table, unit) % (300 * 86400))
        return self.time(self.created() - age.total_seconds())

    def with_texts(self, kind: str, number: int, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row with the texts set by events."""
        texts = self.texts.get((kind, number))
        return {**row, **texts} if texts else row
