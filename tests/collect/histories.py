"""Random histories of a small simulated MMS with random faults, checked against its oracle."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Final

from exporter.clock import Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.mms.client import create_client
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.faults.fault_plan import Kind
from exporter.simulator.world import events
from tests.collect.allowed_values import IDLE_SECONDS
from tests.collect.history_checks import SOURCE, SourceChecks
from tests.conftest import config_on
from tests.harness import no_sleep

LISTS: Final = (
    *("ListMmsDataSources", "ListMmsJobs", "ListMmsDbs", "ListMmsTables", "ListMmsPartitions", "ListMmsTasks"),
    *("ListMmsTimers", "ListMmsTimerLogs"),
)
MOVED: Final[tuple[Kind, ...]] = ("shift",)
KINDS: Final[tuple[Kind, ...]] = ("lost_row", "repeated_row", "page_cap", "error", "total", "meanwhile", *MOVED)
CAPS: Final = (1, 2, 3, 5, 20, 100)
QUIET_REFRESHES: Final = 3


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


class History:
    """A world, an exporter and random events, all from one seed."""

    def __init__(self, seed: int, simulator: Simulator) -> None:
        self.seed, self.random, self.simulator = seed, Random(seed), simulator
        self.random_of_logs = Random(seed)
        self.clock, self.observer = ManualClock(), FieldRecorder()
        self.wanted = self.random.choice((1, 2, 3, 1000, 1000))
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
            timers=draw((0, 1, 2)),
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
        self.checks = SourceChecks(simulator, self.wanted)

    @asynccontextmanager
    async def refresher(self) -> AsyncIterator[AccountRefresher]:
        """Provide the refresher of the account."""
        config = config_on(
            self.simulator.url,
            jobs={"max_series_per_source": 1000, "idle_interval": f"{IDLE_SECONDS:.0f}s"},
            failures={"max_per_source": self.wanted},
            tasks={"enabled": self.random.random() < 0.3},
            timers={"interval": "1s"},
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
                is_sure = not self.checks.wrong_total_at
                self.clock.advance(self.random.choice((30, 60, 90)) if is_sure else IDLE_SECONDS + 1)
                is_clean = await self._refresh(refresher)
            assert is_clean, "three refreshes without faults end every failure"

    def _end_lags(self) -> None:
        """Let responses show the present world, once names that were read from lagging lists have expired."""
        self.simulator.world.options = with_lags(self.simulator.world.options, lambda: 0.0)
        self.is_lagging = False
        self.clock.advance(MAX_LIST_AGE_SECONDS + 1)
        self.checks.invalidate()

    def _apply_events(self) -> None:
        """Fail some tables and partitions, and let others succeed."""
        for kind in (events.Fail, events.Succeed):
            if self.random.random() < 0.6:
                event = self._event(kind)
                apply_event(self.simulator.world, event)
                self.log.append(event)
        if self.random.random() < 0.4:
            scan = events.ScanMetadata(
                source_id=SOURCE,
                seconds=self.random.choice((0.0, 30.0, 400.0)),
                failed=self.random.random() < 0.2,
                share=0.5,
            )
            apply_event(self.simulator.world, scan)
            self.log.append(scan)

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
            self.checks.note_fault(fault)
            self.simulator.faults.add(fault)
            self.log.append(fault)
        if self.random_of_logs.random() < 0.3:
            # A log has no total, so that a lost row cannot be noticed.
            fault = Fault(kind="error", operation="ListMmsTaskLogs", skip=self.random_of_logs.choice((0, 1, 3)))
            self.simulator.faults.add(fault)
            self.log.append(fault)

    async def _refresh(self, refresher: AccountRefresher) -> bool:
        """Refresh; if no error is visible, check the values and return True."""
        self.observer.lost.clear()
        before = self.checks.true_source()
        await refresher.refresh()
        snapshot = refresher.snapshot()
        is_clean = not self.observer.lost and all(each.success for each in snapshot.collectors)
        is_clean = is_clean and all(source.refreshed for source in snapshot.sources)
        is_moving = {"total", "meanwhile"} & {fault.kind for fault in self.simulator.faults.known().values()}
        if not is_clean or is_moving or self.is_lagging:
            lost = {operation for operation, _ in self.observer.lost}
            self.checks.note_unchecked(snapshot, lost, before, self.checks.true_source())
            return is_clean
        assert [source.name.source_id for source in snapshot.sources] == [SOURCE]
        self.checks.check(snapshot.sources[0])
        (table,) = snapshot.tables
        true = next(each for each in self.simulator.world.truth().tables(SOURCE) if each.id == 1)
        assert (table.row.status, table.row.partitions_failed) == (true.status, true.partitions_failed)
        return True


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
