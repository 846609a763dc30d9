"""Random histories of a small simulated MMS with random faults, and what an exporter may show meanwhile and after."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from exporter.clock import Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import AccountSnapshot, FailedUnit, SourceSnapshot
from exporter.mms.client_factory import create_client
from exporter.mms.models import JOB_STATUSES, TASK_STATUSES, DataSource, Partition, Table
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.faults.fault_plan import Kind
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.harness import no_sleep

SOURCE: Final = 2_000_001
LISTS: Final = ("ListMmsDataSources", "ListMmsJobs", "ListMmsTables", "ListMmsPartitions", "ListMmsTasks")
MOVED: Final[tuple[Kind, ...]] = ("shift",)
KINDS: Final[tuple[Kind, ...]] = ("lost_row", "repeated_row", "page_cap", "error", "total", "meanwhile", *MOVED)
CAPS: Final = (1, 2, 3, 5, 20, 100)
IDLE_SECONDS: Final = 600
QUIET_REFRESHES: Final = 3
_COUNTS: Final = tuple(name for name in DataSource.__struct_fields__ if name.endswith("_num"))


class Ear:
    """Counts what could not be used of answers."""

    def __init__(self) -> None:
        self.lost: list[tuple[str, str]] = []

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        """Note nothing."""

    def retried(self, operation: str) -> None:
        """Note nothing."""

    def waited(self, operation: str, seconds: float) -> None:
        """Note nothing."""

    def skipped(self) -> None:
        """Note nothing."""

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        """Note what was lost."""
        self.lost.extend((operation, field) for field in fields)


@dataclass
class Names:
    """Which failures of one kind may be named, as long as reads leave no doubt."""

    known: list[tuple[int, list[FailedUnit]]] = field(default_factory=list)
    """What may have been read last: how many failed by the row, and their names."""

    def may_be(self, count: int, now: list[FailedUnit]) -> list[list[FailedUnit]]:
        """Return the names that may be shown: those since the number moved."""
        self.known = [*(each for each in self.known if each[0] == count), (count, now)]
        return [names for _, names in self.known]

    def may_have_become(self, count: int, now: list[FailedUnit]) -> None:
        """Note what failed in the middle of a refresh, which it may have read."""
        self.known.append((count, now))

    def doubt(self) -> None:
        """Note a failed read, after which names are read again."""
        self.known.clear()


class History:
    """One world, one exporter, and what happens to them, all drawn from one seed."""

    def __init__(self, seed: int, simulator: Simulator) -> None:
        self.seed, self.random, self.simulator = seed, Random(seed), simulator
        self.clock, self.ear = ManualClock(), Ear()
        self.wanted = self.random.choice((1, 2, 3, 1000, 1000))
        self.lied_at: float | None = None
        """When a `total` was wrong last, which nothing but another answer can tell."""
        self.names = {"table": Names(), "partition": Names()}
        self.log: list[object] = []
        draw = self.random.choice
        options = WorldOptions(
            seed=seed,
            sources=1,
            databases=1,
            tables=draw((2, 4)),
            partitions=draw((0, 2, 4)),
            finished_jobs_per_source=draw((0, 3, 12)),
            running_jobs_per_source=draw((1, 2, 4)),
            waves=draw((1, 2)),
            idle_share=draw((0, 0, 1)),
            stopped_share=draw((0, 1)),
            failure_rate=draw((0.0, 0.4, 1.0)),
            job_seconds=draw((120.0, 600.0)),
            special_sources=False,
            incidents=False,
        )
        simulator.world = World(options, clock=self.clock)
        simulator.faults.clear()
        simulator.page_size_caps = {operation: draw(CAPS) for operation in LISTS}
        simulator.reversed_lists = {operation for operation in LISTS if draw((True, False))}

    @asynccontextmanager
    async def refresher(self) -> AsyncIterator[AccountRefresher]:
        """Provide the exporter's refresher of the account."""
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
        async with create_client(account, self.ear, Clock(sleep=no_sleep)) as client:
            yield AccountRefresher(account, config, client, self.ear, lambda: None, ticks)

    async def run(self) -> None:
        """Disturb and check some refreshes, then leave three alone."""
        async with self.refresher() as refresher:
            for _ in range(self.random.randint(2, 4)):
                self.clock.advance(self.random.choice((1, 30, 60, 60, 300, 700)))
                self._happen()
                self._break()
                is_trusted = await self._refresh(refresher)
                self.simulator.faults.clear()
                self.log.append(("trusted", is_trusted, sorted(set(self.ear.lost))))
            for _ in range(QUIET_REFRESHES):
                # What a total alone says is believed until the source is read again.
                is_sure = self.lied_at is None
                self.clock.advance(self.random.choice((30, 60, 90)) if is_sure else IDLE_SECONDS + 1)
                is_trusted = await self._refresh(refresher)
            assert is_trusted, "three refreshes in which nothing goes wrong end every trouble"

    def _happen(self) -> None:
        """Fail some tables and partitions, and mend others."""
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

    def _break(self) -> None:
        """Put some faults in force, each on some calls of one list."""
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
            self.lied_at = self.clock() if fault.kind == "total" else self.lied_at
            self.simulator.faults.add(fault)
            self.log.append(fault)

    async def _refresh(self, refresher: AccountRefresher) -> bool:
        """Refresh, and check and return whether nothing shows trouble."""
        self.ear.lost.clear()
        before = {kind: self._failed(kind) for kind in self.names}
        await refresher.refresh()
        snapshot = refresher.snapshot()
        is_trusted = not self.ear.lost and all(each.success for each in snapshot.collectors)
        is_trusted = is_trusted and all(source.refreshed for source in snapshot.sources)
        is_moving = {"total", "meanwhile"} & {fault.kind for fault in self.simulator.faults.known().values()}
        if not is_trusted or is_moving:
            self._note_unchecked(snapshot, before)
            return is_trusted
        assert [source.name.source_id for source in snapshot.sources] == [SOURCE]
        self._check(snapshot.sources[0])
        (table,) = snapshot.tables
        true = next(each for each in self.simulator.world.truth().tables(SOURCE) if each.id == 1)
        assert (table.status, table.partitions_failed) == (true.status, true.partitions_failed)
        return True

    @property
    def _may_believe_a_lie(self) -> bool:
        """Whether a wrong `total` may still be shown of an idle source."""
        return self.lied_at is not None and self.clock() - self.lied_at <= IDLE_SECONDS

    def _note_unchecked(self, snapshot: AccountSnapshot, before: Mapping[str, tuple[int, list[FailedUnit]]]) -> None:
        """Note what the next refresh may show of failures."""
        are_read = all(each.success for each in snapshot.collectors if each.collector == "failures")
        lost = {operation for operation, _ in self.ear.lost}
        for kind, names in self.names.items():
            if are_read and f"ListMms{kind.title()}s" not in lost:
                names.may_be(*before[kind])
                names.may_have_become(*self._failed(kind))
            else:
                names.doubt()

    def _check(self, shown: SourceSnapshot) -> None:
        """Check that what is shown of the source is what the world holds."""
        row = self.simulator.world.truth().data_source(SOURCE)
        assert shown.figures is not None
        assert [getattr(shown.figures.row, name) for name in _COUNTS] == [getattr(row, name) for name in _COUNTS]
        self._check_jobs(shown)
        assert shown.failures is not None
        for kind, failures in (("table", shown.failures.tables), ("partition", shown.failures.partitions)):
            total, newest = self._failed(kind)
            allowed = self.names[kind].may_be(total, newest)
            assert failures is not None
            assert failures.total == total, kind
            assert list(failures.newest) in allowed, kind
        if shown.tasks is not None and not self._may_believe_a_lie:
            statuses = Counter(task.status for task in self.simulator.world.truth().tasks(SOURCE))
            assert shown.tasks.counts == {status: statuses[status] for status in TASK_STATUSES}

    def _failed(self, kind: str) -> tuple[int, list[FailedUnit]]:
        """Return how many of a kind failed, and the newest names."""
        truth = self.simulator.world.truth()
        things: list[Table | Partition] = [*(truth.tables if kind == "table" else truth.partitions)(SOURCE)]
        failed = sorted((each for each in things if each.status == "FAILED"), key=lambda each: each.id, reverse=True)
        return len(failed), [as_failed(each) for each in failed[: self.wanted]]

    def _check_jobs(self, shown: SourceSnapshot) -> None:
        jobs = {job.id: job for job in self.simulator.world.truth().jobs(SOURCE)}
        counts = Counter(job.status for job in jobs.values())
        assert shown.jobs is not None
        if not self._may_believe_a_lie:
            assert shown.jobs.counts == {status: counts[status] for status in JOB_STATUSES}
        held = {key: (job.status, job.task_num, job.task_done) for key, job in jobs.items()}
        found = {job.job_id: (job.status, job.tasks, job.tasks_done) for job in shown.jobs.jobs}
        assert {key: value for key, value in found.items() if held.get(key) != value} == {}
        assert {key for key, job in jobs.items() if job.status != "DONE"} <= found.keys()
        unfinished = [job for job in jobs.values() if job.status in ("INIT", "DOING")]
        assert shown.jobs.stopped == sum(1 for job in unfinished if job.stopped)


def as_failed(each: Table | Partition) -> FailedUnit:
    """Return a table or a partition as it is named when it has failed."""
    if isinstance(each, Table):
        return FailedUnit(each.db_name, each.name, None, each.dst_project_name, each.dst_schema_name, each.dst_name)
    place = each.dst_project_name, each.dst_schema_name, each.dst_table_name
    return FailedUnit(each.db_name, each.table_name, each.value, *place)
