"""Random histories of a small simulated MMS with random faults, checked against its oracle."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from exporter.clock import Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import AccountSnapshot, FailedUnit, SourceSnapshot
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.mms.client import create_client
from exporter.mms.models.records import DataSource, Job, Partition, Table
from exporter.mms.models.scope import UnitSet, covers_any
from exporter.mms.models.statuses import JobStatus, TaskStatus
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.faults.fault_plan import Kind
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.harness import no_sleep

SOURCE: Final = 2_000_001
LISTS: Final = (
    *("ListMmsDataSources", "ListMmsJobs", "ListMmsDbs", "ListMmsTables", "ListMmsPartitions", "ListMmsTasks"),
)
MOVED: Final[tuple[Kind, ...]] = ("shift",)
KINDS: Final[tuple[Kind, ...]] = ("lost_row", "repeated_row", "page_cap", "error", "total", "meanwhile", *MOVED)
CAPS: Final = (1, 2, 3, 5, 20, 100)
IDLE_SECONDS: Final = 600
QUIET_REFRESHES: Final = 3
_COUNTS: Final = tuple(name for name in DataSource.__struct_fields__ if name.endswith("_num"))


class FieldRecorder:
    """Records unusable fields of responses."""

    def __init__(self) -> None:
        self.lost: list[tuple[str, str]] = []

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Do nothing."""

    def retried(self, operation: str) -> None:
        """Do nothing."""

    def waited(self, operation: str, seconds: float) -> None:
        """Do nothing."""

    def skipped(self) -> None:
        """Do nothing."""

    def unrefused(self, operation: str) -> None:
        """Do nothing."""

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Record unusable fields."""
        self.lost.extend((operation, field) for field in fields)


Listed = tuple[object, list[Any]]
"""What of the row proves that a list did not change, and the list."""
OPERATIONS: Final = {"database": "ListMmsDbs", "table": "ListMmsTables", "partition": "ListMmsPartitions"}
"""By kind of the lists that are not read while the row proves them."""


@dataclass
class AllowedLists:
    """The lists that may be shown for one kind: failures, or databases."""

    known: list[Listed] = field(default_factory=list)
    """What the exporter may have read last."""

    def may_be(self, proof: object, now: list[Any]) -> list[list[Any]]:
        """Return the allowed lists: all since the proof changed."""
        self.known = [*(each for each in self.known if each[0] == proof), (proof, now)]
        return [listed for _, listed in self.known]

    def may_have_become(self, proof: object, now: list[Any]) -> None:
        """Record a list in the middle of a refresh, which it may have read."""
        self.known.append((proof, now))

    def invalidate(self) -> None:
        """Record a failed read, after which the list is read again."""
        self.known.clear()


class History:
    """A world, an exporter and random events, all from one seed."""

    def __init__(self, seed: int, simulator: Simulator) -> None:
        self.seed, self.random, self.simulator = seed, Random(seed), simulator
        self.clock, self.observer = ManualClock(), FieldRecorder()
        self.wanted = self.random.choice((1, 2, 3, 1000, 1000))
        self.wrong_total_at: float | None = None
        """When a `total` was last wrong, which the exporter cannot detect."""
        self.lists = {kind: AllowedLists() for kind in OPERATIONS}
        self.log: list[object] = []
        draw = self.random.choice
        options = WorldOptions(
            seed=seed,
            sources=1,
            databases=draw((1, 1, 3)),
            tables=draw((2, 4)),
            partitions=draw((0, 2, 4)),
            finished_jobs_per_source=draw((0, 3, 12)),
            running_jobs_per_source=draw((1, 2, 4)),
            waves=draw((1, 2)),
            idle_share=draw((0, 0, 1)),
            stopped_share=draw((0, 1)),
            hides_stopped=draw((True, False)),
            failure_rate=draw((0.0, 0.4, 1.0)),
            job_seconds=draw((120.0, 600.0)),
            special_sources=False,
            incidents=False,
        )
        self.is_lagging = self.random.random() < 0.2
        """Whether lists and statuses lag behind the world until the quiet refreshes."""
        if self.is_lagging:
            options = with_lags(options, lambda: draw((0.0, 30.0, 300.0)))
        simulator.world = World(options, clock=self.clock)
        simulator.faults.clear()
        simulator.page_size_caps = {operation: draw(CAPS) for operation in LISTS}
        simulator.reversed_lists = {operation for operation in LISTS if draw((True, False))}

    @asynccontextmanager
    async def refresher(self) -> AsyncIterator[AccountRefresher]:
        """Provide the refresher of the account."""
        config = config_on(
            self.simulator.url,
            jobs={"max_series_per_source": 1000, "idle_interval": f"{IDLE_SECONDS}s"},
            failures={"max_per_source": self.wanted},
            tasks={"enabled": self.random.random() < 0.3},
            watch={"tables": [{"source_id": SOURCE, "table_ids": [1]}]},
            refresh={"stale_after": "10000s"},
        )
        ticks = Clock(wall=self.clock, monotonic=self.clock, sleep=no_sleep)
        account = config.accounts[0]
        async with create_client(account, self.observer, Clock(sleep=no_sleep)) as client:
            yield AccountRefresher(account, config, client, self.observer, lambda: None, ticks)

    async def run(self) -> None:
        """Check some refreshes with faults, then three without."""
        async with self.refresher() as refresher:
            for _ in range(self.random.randint(2, 4)):
                self.clock.advance(self.random.choice((1, 30, 60, 60, 300, 700)))
                self._apply_events()
                self._add_faults()
                is_clean = await self._refresh(refresher)
                self.simulator.faults.clear()
                self.log.append(("clean", is_clean, sorted(set(self.observer.lost))))
            if self.is_lagging:
                self._end_lags()
            for _ in range(QUIET_REFRESHES):
                # A wrong total stays in effect until the source is read again.
                is_sure = self.wrong_total_at is None
                self.clock.advance(self.random.choice((30, 60, 90)) if is_sure else IDLE_SECONDS + 1)
                is_clean = await self._refresh(refresher)
            assert is_clean, "three refreshes without faults end every failure"

    def _end_lags(self) -> None:
        """Let responses show the present world, once names that were read from lagging lists have expired."""
        self.simulator.world.options = with_lags(self.simulator.world.options, lambda: 0.0)
        self.is_lagging = False
        self.clock.advance(MAX_LIST_AGE_SECONDS + 1)
        for lists in self.lists.values():
            lists.invalidate()

    def _apply_events(self) -> None:
        """Fail some tables and partitions, and let others succeed."""
        for kind in (events.Fail, events.Succeed):
            if self.random.random() < 0.6:
                event = self._event(kind)
                apply_event(self.simulator.world, event)
                self.log.append(event)

    def _event(self, kind: type[events.Fail | events.Succeed]) -> events.Fail | events.Succeed:
        """Return an event of some tables and partitions."""
        truth = self.simulator.world.truth()
        tables = [table.id for table in truth.tables(SOURCE) if not table.has_partitions]
        partitions = [partition.id for partition in truth.partitions(SOURCE)]
        return kind(
            source_id=SOURCE,
            table_ids=tuple(each for each in tables if self.random.random() < 0.3),
            partition_ids=tuple(each for each in partitions if self.random.random() < 0.3),
        )

    def _add_faults(self) -> None:
        """Add random faults, each for some calls of one list."""
        for _ in range(self.random.choice((0, 1, 1, 2))):
            kinds = [kind for kind in KINDS if self.wanted > 3 or kind not in MOVED]
            page = self.random.choice((None, None, "1", "2", "3"))
            fault = Fault(
                kind=self.random.choice(kinds),
                operation=self.random.choice(LISTS),
                query={"pageNum": page} if page else {},
                skip=self.random.choice((0, 0, 1, 2, 3)),
                row=self.random.randint(0, 4),
                shift=self.random.choice((-1, 1)),
                total=self.random.randint(0, 12),
                cap=self.random.choice(CAPS),
                event=self._event(self.random.choice((events.Fail, events.Succeed))),
            )
            self.wrong_total_at = self.clock() if fault.kind == "total" else self.wrong_total_at
            self.simulator.faults.add(fault)
            self.log.append(fault)

    async def _refresh(self, refresher: AccountRefresher) -> bool:
        """Refresh; if no error is visible, check the values and return True."""
        self.observer.lost.clear()
        before = {kind: self._listed(kind) for kind in OPERATIONS}
        await refresher.refresh()
        snapshot = refresher.snapshot()
        is_clean = not self.observer.lost and all(each.success for each in snapshot.collectors)
        is_clean = is_clean and all(source.refreshed for source in snapshot.sources)
        is_moving = {"total", "meanwhile"} & {fault.kind for fault in self.simulator.faults.known().values()}
        if not is_clean or is_moving or self.is_lagging:
            self._note_unchecked(snapshot, before)
            return is_clean
        assert [source.name.source_id for source in snapshot.sources] == [SOURCE]
        self._check(snapshot.sources[0])
        (table,) = snapshot.tables
        true = next(each for each in self.simulator.world.truth().tables(SOURCE) if each.id == 1)
        assert (table.row.status, table.row.partitions_failed) == (true.status, true.partitions_failed)
        return True

    @property
    def _may_show_wrong_total(self) -> bool:
        """Return whether an idle source may still show a wrong `total`."""
        return self.wrong_total_at is not None and self.clock() - self.wrong_total_at <= IDLE_SECONDS

    def _note_unchecked(self, snapshot: AccountSnapshot, before: Mapping[str, Listed]) -> None:
        """Update the lists that the next refresh may show."""
        success = {each.collector: each.success for each in snapshot.collectors}
        lost = {operation for operation, _ in self.observer.lost}
        for kind, lists in self.lists.items():
            if success["databases" if kind == "database" else "failures"] and OPERATIONS[kind] not in lost:
                lists.may_be(*before[kind])
                lists.may_have_become(*self._listed(kind))
            else:
                lists.invalidate()

    def _check(self, shown: SourceSnapshot) -> None:
        """Check that the values of the source equal the world."""
        row = self.simulator.world.truth().data_source(SOURCE)
        assert shown.stats is not None
        assert [getattr(shown.stats.row, name) for name in _COUNTS] == [getattr(row, name) for name in _COUNTS]
        assert shown.databases is not None
        assert list(shown.databases.databases) in self.lists["database"].may_be(*self._listed("database"))
        self._check_jobs(shown)
        assert shown.failures is not None
        for kind, failures in (("table", shown.failures.tables), ("partition", shown.failures.partitions)):
            total, newest = self._listed(kind)
            allowed = self.lists[kind].may_be(total, newest)
            assert failures is not None
            assert failures.total == total, kind
            assert list(failures.newest) in allowed, kind
        if shown.tasks is not None and not self._may_show_wrong_total:
            truth, world = self.simulator.world.truth(), self.simulator.world
            # Lists of tasks by status cannot be asked for stopped ones.
            hidden = (
                {job.id for job in truth.jobs(SOURCE) if job.stopped} if world.options.hides_stopped else set[int]()
            )
            statuses = Counter(task.status for task in truth.tasks(SOURCE) if task.job_id not in hidden)
            assert shown.tasks.counts == {status: statuses[status] for status in TaskStatus}

    def _listed(self, kind: str) -> Listed:
        """Return the row and all databases, or the number of failures of a kind and the newest names."""
        truth = self.simulator.world.truth()
        if kind == "database":
            return truth.data_source(SOURCE), sorted(truth.databases(SOURCE), key=lambda each: each.size_rank)
        things: list[Table | Partition] = [*(truth.tables if kind == "table" else truth.partitions)(SOURCE)]
        failed = sorted((each for each in things if each.status == "FAILED"), key=lambda each: each.id, reverse=True)
        return len(failed), [as_failed(each) for each in failed[: self.wanted]]

    def _check_jobs(self, shown: SourceSnapshot) -> None:
        jobs = {job.id: job for job in self.simulator.world.truth().jobs(SOURCE)}
        counts = Counter(job.status for job in jobs.values())
        assert shown.jobs is not None
        if not self._may_show_wrong_total:
            assert shown.jobs.counts == {status: counts[status] for status in JobStatus}
        held = {key: (job.status, job.task_num, job.task_done) for key, job in jobs.items()}
        rows = [job.row for job in shown.jobs.jobs]
        found = {row.id: (row.status, row.task_num, row.task_done) for row in rows}
        assert {key: value for key, value in found.items() if held.get(key) != value} == {}
        unresolved = self._unresolved(shown, jobs)
        assert {
            key for key, job in jobs.items() if job.status in ("INIT", "DOING") or key in unresolved
        } <= found.keys()
        unfinished = [job for job in jobs.values() if job.status in ("INIT", "DOING")]
        assert shown.jobs.stopped == sum(1 for job in unfinished if job.stopped)

    def _unresolved(self, shown: SourceSnapshot, jobs: Mapping[int, Job]) -> set[int]:
        """Return the failed jobs that may have something FAILED in their scope, as far as the names show it."""
        failed = {key for key, job in jobs.items() if job.status == JobStatus.FAILED}
        assert shown.failures is not None
        kinds = [kind for kind in (shown.failures.tables, shown.failures.partitions) if kind is not None]
        if len(kinds) < 2 or any(kind.total != len(kind.newest) for kind in kinds):
            return failed
        units = UnitSet.of((each.src_db, each.table, each.id) for kind in kinds for each in kind.newest)
        return {key for key in failed if covers_any(jobs[key], units)}


def with_lags(options: WorldOptions, lag_seconds: Callable[[], float]) -> WorldOptions:
    """Return options with a lag for each kind of list."""
    return replace(
        options,
        job_list_lag_seconds=lag_seconds(),
        job_status_lag_seconds=lag_seconds(),
        database_lag_seconds=lag_seconds(),
        table_lag_seconds=lag_seconds(),
        partition_lag_seconds=lag_seconds(),
    )


def as_failed(each: Table | Partition) -> FailedUnit:
    """Return the names of a table or a partition as a failure."""
    if isinstance(each, Table):
        return FailedUnit(each.db_name, each.name, None, each.dst_project_name, each.dst_schema_name, each.dst_name)
    place = each.dst_project_name, each.dst_schema_name, each.dst_table_name
    return FailedUnit(each.db_name, each.table_name, each.value, *place, id=each.id)
