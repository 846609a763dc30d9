"""The simulated accounts of a story, and their changes."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from exporter.mms.models.records import DataSource
from exporter.mms.protocol import PAGE_SIZE
from exporter.simulator import Fault, Simulator, World, WorldOptions, apply_event
from exporter.simulator.api import creation
from exporter.simulator.api.operations import OPERATIONS
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.story.time_scale import SLOWDOWN

SPEED: Final = 60.0 / SLOWDOWN
"""Simulated seconds per real second: a job takes 4 s, and something completes every few seconds."""
REJECTED: Final = {"status": 400, "code": "ServiceNotOpened"}
"""An error that the exporter does not retry, so that the story has no random delay."""
_ZONE: Final = ZoneInfo("Asia/Shanghai")
_JOBS_WITHOUT_ETA: Final = 300


class Clock:
    """A clock that can change its speed, pause and jump."""

    def __init__(self) -> None:
        self._now = time.time()
        self._since = time.monotonic()
        self._speed = SPEED

    def __call__(self) -> float:
        """Return the time in Unix seconds."""
        return self._now + (time.monotonic() - self._since) * self._speed

    def run(self, speed: float = SPEED) -> None:
        """Continue at another speed; 0 pauses."""
        self._now, self._since, self._speed = self(), time.monotonic(), speed

    def leap(self, seconds: float) -> None:
        """Jump forward in simulated time."""
        self._now += seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """Values of the overview for an account, by ground truth."""

    done: int
    total: int
    left: dict[str, int]
    """By the id of the source."""
    halted: set[str]
    """Ids of the sources that are stopped or whose agent is offline."""
    failed_tables: int
    failed_partitions: int
    agents_offline: int

    @classmethod
    def of(cls, rows: list[DataSource]) -> "Figures":
        """Sum the rows of all sources."""
        done = sum(_number(row.tables_done_num, row.partitions_done_num) for row in rows)
        failed_tables = sum(_number(row.tables_failed_num) for row in rows)
        failed_partitions = sum(_number(row.partitions_failed_num) for row in rows)
        total = sum(_number(row.table_num, row.partition_num) for row in rows)
        left = {str(row.id): _left(row) for row in rows}
        offline = sum(not row.agent_is_online for row in rows)
        halted = {str(row.id) for row in rows if not row.agent_is_online or row.status in {"STOPPED", "STOPPING"}}
        return cls(done, total, left, halted, failed_tables, failed_partitions, offline)


def _left(row: DataSource) -> int:
    ended = (row.tables_done_num, row.partitions_done_num, row.tables_failed_num, row.partitions_failed_num)
    return _number(row.table_num, row.partition_num) - _number(*ended, row.tables_part_done_num)


def _number(*counts: int | None) -> int:
    return sum(count or 0 for count in counts)


class Account:
    """One simulated MMS account and its changes."""

    def __init__(self, name: str, options: WorldOptions, clock: Callable[[], float] | None = None) -> None:
        self.name = name
        self.clock = Clock()
        self.world = World(options, clock=clock or self.clock)
        self.simulator = Simulator(self.world, identities=[IDENTITY])
        self.ids = {site.source.name: site.id for site in self.world.sites()}
        """Source ids by name."""
        for source_id in self.ids.values():
            self._clear_etas(source_id)

    def _clear_etas(self, source_id: int) -> None:
        for job_id in range(1, _JOBS_WITHOUT_ETA):
            self.set_text(source_id, "eta", "", job_id=job_id)

    def partition_shared_with(self, other: "Account") -> tuple[int, int]:
        """Return a source and partition id that both accounts have."""
        source_id = list(self.ids.values())[-1]
        ids = [{each.id for each in account.world.truth().partitions(source_id)} for account in (self, other)]
        return source_id, min(ids[0] & ids[1])

    def figures(self) -> Figures:
        """Return the figures by ground truth."""
        return Figures.of(list(self.world.truth().data_sources().values()))

    def set_text(self, source_id: int, field: str, text: str, *, job_id: int | None = None) -> None:
        """Set a text field of a source or a job."""
        apply_event(self.world, events.SetText(source_id=source_id, field=field, text=text, job_id=job_id))

    def set_time(self, source_id: int, field: str, seconds_ago: float, *, job_id: int | None = None) -> None:
        """Set a time field, counted back from now."""
        moment = datetime.fromtimestamp(time.time() - seconds_ago, _ZONE)
        self.set_text(source_id, field, f"{moment:%Y-%m-%d %H:%M:%S}", job_id=job_id)

    def set_agent(self, source_id: int, *, online: bool) -> None:
        """Take an agent offline or online."""
        apply_event(self.world, events.SetAgent(source_id=source_id, online=online))

    def stall(self, source_id: int, *, stalled: bool = True) -> None:
        """Stall a source or continue it."""
        apply_event(self.world, events.Stall(source_id=source_id, stalled=stalled))

    def scan(self, source_id: int, seconds: float) -> None:
        """Start a metadata scan, which ends after `seconds` of the world."""
        apply_event(self.world, events.ScanMetadata(source_id=source_id, seconds=seconds))

    def is_doing(self, source_id: int) -> bool:
        """Return whether a partition of a source is being migrated."""
        return any(partition.status == "DOING" for partition in self.world.truth().partitions(source_id))

    def fail_tables(self, source_id: int, count: int) -> int:
        """Fail a number of DONE tables; returns the failed units."""
        done = [table.id for table in self.world.truth().tables(source_id) if table.status == "DONE"]
        assert len(done) >= count
        return apply_event(self.world, events.Fail(source_id=source_id, table_ids=tuple(done[:count])))

    def fail_partitions(self, source_id: int, count: int) -> None:
        """Fail some partitions of one DONE table."""
        truth = self.world.truth()
        table = next(
            each for each in truth.tables(source_id) if each.status == "DONE" and (each.partitions or 0) > count
        )
        ids = [each.id for each in truth.partitions(source_id) if each.table_id == table.id]
        apply_event(self.world, events.Fail(source_id=source_id, partition_ids=tuple(ids[:count])))

    def retry(self, source_id: int) -> None:
        """Create jobs for all failures."""
        truth = self.world.truth()
        partitions = [partition.id for partition in truth.partitions(source_id) if partition.status == "FAILED"]
        if partitions:
            self._create(source_id, {"partitions": partitions})
        tables = [table for table in truth.tables(source_id) if table.status == "FAILED" and not table.has_partitions]
        for table in tables:
            self._create(source_id, {"srcDbName": table.db_name, "tables": [table.name]})

    def migrate(self, source_id: int, count: int) -> list[int]:
        """Create jobs for unmigrated, unpartitioned tables; returns job ids."""
        tables = [
            table
            for table in self.world.truth().tables(source_id)
            if table.status == "INIT" and not table.has_partitions
        ]
        assert len(tables) >= count
        return [self._create(source_id, {"srcDbName": each.db_name, "tables": [each.name]}) for each in tables[:count]]

    def migrate_partitions(self, source_id: int, partition_ids: Iterable[int]) -> int:
        """Create a job for partitions; returns its id."""
        return self._create(source_id, {"partitions": list(partition_ids)})

    def _create(self, source_id: int, request: dict[str, object]) -> int:
        site = self.world.site(source_id)
        made = creation.create(site, self.world.at(site), msgspec.json.encode(request))
        self.set_text(source_id, "eta", "", job_id=made["asyncTaskId"])
        return int(made["asyncTaskId"])

    def stop_jobs(self, source_id: int, job_ids: list[int]) -> None:
        """Stop jobs that have just started."""
        for job_id in job_ids:
            apply_event(self.world, events.StopJob(source_id=source_id, job_id=job_id))

    def unfinished_job(self, source_id: int) -> int:
        """Return the id of a running job."""
        site = self.world.site(source_id)
        return site.job_store.unfinished(self.world.at(site))[0].id

    def remove(self, source_id: int) -> None:
        """Delete a source."""
        apply_event(self.world, events.RemoveSource(source_id=source_id))

    def revoke(self, operation: str) -> None:
        """Revoke one permission of the access key."""
        actions = frozenset(f"odps:{each}" for each in OPERATIONS if each != operation)
        self.simulator.identities.add(replace(IDENTITY, actions=actions))

    def remove_key(self) -> None:
        """Remove the account's access key from MMS."""
        self.simulator.identities.remove(IDENTITY.access_key_id)

    def restore_key(self) -> None:
        """Restore the access key with all permissions."""
        self.simulator.identities.add(IDENTITY)

    def refuse(self, operation: str, source_id: int | None = None) -> int:
        """Fail an operation for a reason unrelated to the account."""
        return self.simulator.faults.add(Fault(kind="error", operation=operation, source_id=source_id, **REJECTED))  # type: ignore[arg-type]  # the two fields named above

    def throttle(self, share: float, operation: str | None = None) -> int:
        """Throttle a share of the requests, or of those of one operation; returns the fault id."""
        return self.simulator.faults.add(Fault(kind="throttle", probability=share, operation=operation))

    def remove_fault(self, fault: int) -> None:
        """Remove a fault."""
        self.simulator.faults.remove(fault)


def accounts(*, hides_stopped: bool = False) -> Iterator[Account]:
    """Yield the account of the migration and the troubled one.

    With `hides_stopped`, lists by status omit stopped jobs, and the troubled account has more than one page of jobs.
    """
    quiet = {"incidents": False, "special_sources": False, "stopped_share": 0.0, "failure_rate": 0.0}
    calm = WorldOptions(
        seed=3,
        sources=3,
        idle_share=0.34,
        tables=40,
        untouched_share=0.0,
        waves=8,
        job_seconds=240.0,
        running_jobs_per_source=1,
        finished_jobs_per_source=0,
        **quiet,  # type: ignore[arg-type]  # the options named above
    )
    troubled = WorldOptions(
        seed=5,
        sources=4,
        idle_share=0.0,
        tables=40,
        untouched_share=0.4,
        job_seconds=240.0,
        running_jobs_per_source=1,
        finished_jobs_per_source=0,
        retry_failure_rate=1.0,
        **quiet,  # type: ignore[arg-type]  # as above
    )
    if hides_stopped:
        troubled = replace(troubled, hides_stopped=True, finished_jobs_per_source=PAGE_SIZE + 20)
    yield Account("prod", calm)
    yield Account("lab", troubled)
