"""Checks of one data source in a snapshot against the simulated world."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from exporter.collect.snapshot import AccountSnapshot, FailedUnit, FailedUnits, SourceSnapshot
from exporter.collect.state.failure_state import max_list_age
from exporter.mms.client import MAX_TIMER_LOG_PAGES
from exporter.mms.models.records import DataSource, Job, Partition, Table
from exporter.mms.models.scope import UnitSet, covers_any
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, JobStatus, TaskStatus
from exporter.mms.models.timer_records import TimerLog
from exporter.simulator import Fault, Simulator
from exporter.simulator.oracle import Oracle
from tests.collect.allowed_values import IDLE_SECONDS, AllowedOutdated, AllowedValues
from tests.collect.failed_tasks import failed_tasks
from tests.collect.timer_truth import DUE, LAST_RUN, LAST_SKIP, SKIPPED, expected_timers

SOURCE: Final = 2_000_001
LIST_SECONDS: Final = max_list_age(SOURCE)
"""Lists that the row proves unchanged are read again after this time."""
HOUR_SECONDS: Final = 3600
_COUNTS: Final = tuple(name for name in DataSource.__struct_fields__ if name.endswith("_num"))


@dataclass(frozen=True)
class TrueSource:
    """What is true of the source at one moment."""

    row: DataSource
    databases: list[Any]
    failures: dict[str, tuple[int, list[FailedUnit]]]
    """Number and newest names by kind."""
    outdated: int
    jobs: dict[int, Job]
    tasks: dict[str, int]
    """Number by status of those that lists by status have."""

    @property
    def is_finished(self) -> bool:
        """Return whether no job is unfinished."""
        return all(job.status not in UNFINISHED_JOB_STATUSES for job in self.jobs.values())


class SourceChecks:
    """What the exporter may show of the source, refresh by refresh."""

    def __init__(self, simulator: Simulator, wanted: int) -> None:
        self.simulator, self.wanted = simulator, wanted
        self.wrong_total_at: dict[str, float] = {}
        """When the `total` of an operation was last wrong, which the exporter cannot detect."""
        self.log_page_rows = simulator.page_size_caps["ListMmsTimerLogs"]
        """The smallest page of logs of timers."""
        self.databases = AllowedValues[list[Any]](HOUR_SECONDS)
        self.failures = {kind: AllowedValues[list[FailedUnit]](LIST_SECONDS) for kind in ("table", "partition")}
        self.reasons = AllowedValues[list[Any]](HOUR_SECONDS)
        self.outdated = AllowedOutdated(LIST_SECONDS)
        # A job that changes nothing in the row, as that of a timer without work, appears an idle interval later.
        self.work = AllowedValues[TrueSource](IDLE_SECONDS, lambda true: true.is_finished)

    @property
    def lists(self) -> dict[tuple[str, str], AllowedValues[Any]]:
        """Return the allowed values by collector, and by the list that is read again if rows are missing."""
        return {
            ("databases", "ListMmsDbs"): self.databases,
            ("failures", "ListMmsTables"): self.failures["table"],
            ("failures", "ListMmsPartitions"): self.failures["partition"],
            ("reasons", "ListMmsTasks"): self.reasons,
            ("scan", "a total needs no rows"): self.outdated,
            ("jobs", "ListMmsJobs"): self.work,
        }

    def invalidate(self) -> None:
        """Record that every list is read again."""
        for values in self.lists.values():
            values.invalidate()

    def note_fault(self, fault: Fault) -> None:
        """Record what a fault changes that the exporter cannot detect."""
        if fault.kind == "total" and fault.operation is not None:
            self.wrong_total_at[fault.operation] = self.simulator.world.clock()
        if fault.kind == "page_cap" and fault.operation == "ListMmsTimerLogs":
            self.log_page_rows = min(self.log_page_rows, fault.cap)

    def may_show_wrong_total(self, seconds: float, *operations: str) -> bool:
        """Return whether a wrong `total` may have been read in the last `seconds`."""
        now = self.simulator.world.clock()
        return any(now - self.wrong_total_at.get(operation, -seconds - 1) <= seconds for operation in operations)

    def true_source(self) -> TrueSource:
        """Return what is true now."""
        truth = self.simulator.world.truth()
        hidden, statuses = self._hidden_jobs(truth), Counter[Any]()
        statuses.update(task.status for task in truth.tasks(SOURCE) if task.job_id not in hidden)
        partitions = [*truth.partitions(SOURCE)]
        return TrueSource(
            truth.data_source(SOURCE),
            sorted(truth.databases(SOURCE), key=lambda each: each.size_rank),
            {"table": self._failed([*truth.tables(SOURCE)]), "partition": self._failed(partitions)},
            sum(bool(each.updated) for each in partitions),
            {job.id: job for job in truth.jobs(SOURCE)},
            {status: statuses[status] for status in TaskStatus},
        )

    def _failed(self, units: list[Table] | list[Partition]) -> tuple[int, list[FailedUnit]]:
        failed = sorted((each for each in units if each.status == "FAILED"), key=lambda each: each.id, reverse=True)
        return len(failed), [as_failed(each) for each in failed[: self.wanted]]

    def _hidden_jobs(self, truth: Oracle) -> set[int]:
        """Return the stopped jobs, of whose tasks lists by status cannot be asked."""
        is_hiding = self.simulator.world.options.hides_stopped
        return {job.id for job in truth.jobs(SOURCE) if job.stopped} if is_hiding else set()

    def note_unchecked(self, snapshot: AccountSnapshot, lost: set[str], before: TrueSource, after: TrueSource) -> None:
        """Update what the next refresh may show, after one that is not checked.

        `before` and `after` are the true values at its begin and end; `lost` are the operations with unusable fields.
        """
        if not snapshot.sources:
            self.invalidate()
            return
        success = {each.collector: each.success for each in snapshot.collectors}
        now, (shown,) = self.simulator.world.clock(), snapshot.sources
        for values, proof, value in self._values(shown, before):
            if success["datasources"]:
                values.see(now, proof)
            values.add(now, proof, value)
        for values, proof, value in self._values(shown, after):
            values.add(now, proof, value)
        for (collector, operation), values in self.lists.items():
            if not success[collector] or operation in lost:
                values.invalidate()

    def _values(self, shown: SourceSnapshot, true: TrueSource) -> Iterator[tuple[AllowedValues[Any], object, object]]:
        """Yield what may be shown of each kind, its proof and its true value."""
        yield from ((values, *true.failures[kind]) for kind, values in self.failures.items())
        yield self.databases, true.row, true.databases
        yield self.reasons, *self._reasons(shown, true.row)
        yield self.outdated, true.row, true.outdated
        yield self.work, true.row, true

    def check(self, shown: SourceSnapshot) -> None:
        """Check that the values of the source equal the world."""
        now, true = self.simulator.world.clock(), self.true_source()
        assert shown.stats is not None
        assert [getattr(shown.stats.row, name) for name in _COUNTS] == [getattr(true.row, name) for name in _COUNTS]
        assert shown.databases is not None
        assert list(shown.databases.databases) in self.databases.allowed(now, true.row, true.databases)
        assert shown.failures is not None
        for kind, failures in (("table", shown.failures.tables), ("partition", shown.failures.partitions)):
            total, newest = true.failures[kind]
            assert failures is not None
            assert failures.total == total, kind
            assert list(failures.newest) in self.failures[kind].allowed(now, total, newest), kind
        self._check_reasons(shown, true.row)
        self._check_scan(shown, true)
        self._check_work(shown, true)
        self._check_timers(shown)

    def _check_reasons(self, shown: SourceSnapshot, row: DataSource) -> None:
        proof, found = self._reasons(shown, row)
        allowed = self.reasons.allowed(self.simulator.world.clock(), proof, found)
        if not self.may_show_wrong_total(HOUR_SECONDS, "ListMmsTasks"):
            stats = shown.reasons
            assert ([] if stats is None else [dict(stats.totals), dict(stats.reasons or {})]) in allowed

    def _reasons(self, shown: SourceSnapshot, row: DataSource) -> tuple[object, list[Any]]:
        """Return what proves the failed tasks unchanged, and the tasks, of the tables that are shown as FAILED."""
        counts, truth = (row.tables_failed_num, row.partitions_failed_num), self.simulator.world.truth()
        tables = frozenset((each.src_db, each.table) for kind in named_failures(shown) for each in kind.newest)
        found = [*failed_tasks(truth, SOURCE, self._hidden_jobs(truth), tables)] if any(counts) else []
        return (counts, tables), found

    def _check_scan(self, shown: SourceSnapshot, true: TrueSource) -> None:
        scan = self.simulator.world.truth().scan(SOURCE)
        allowed = self.outdated.allowed(self.simulator.world.clock(), true.row, true.outdated)
        assert scan is not None
        assert shown.scan is not None
        assert shown.scan.progress == scan.ratio
        if not self.may_show_wrong_total(HOUR_SECONDS, "ListMmsPartitions"):
            assert shown.scan.outdated in allowed

    def _check_work(self, shown: SourceSnapshot, true: TrueSource) -> None:
        allowed = self.work.allowed(self.simulator.world.clock(), true.row, true)
        wrong = [self._wrong_jobs(shown, each.jobs) for each in allowed]
        assert {} in wrong, wrong[0]
        if shown.tasks is not None and not self.may_show_wrong_total(IDLE_SECONDS, "ListMmsTasks", "ListMmsJobs"):
            assert shown.tasks.counts in [each.tasks for each in allowed]

    def _wrong_jobs(self, shown: SourceSnapshot, jobs: Mapping[int, Job]) -> dict[str, Any]:
        """Return what of the jobs differs from the truth."""
        assert shown.jobs is not None
        counts = Counter(job.status for job in jobs.values())
        held = {key: (job.status, job.task_num, job.task_done) for key, job in jobs.items()}
        rows = [job.row for job in shown.jobs.jobs]
        found = {row.id: (row.status, row.task_num, row.task_done) for row in rows}
        unfinished = {key: job for key, job in jobs.items() if job.status in UNFINISHED_JOB_STATUSES}
        is_unsure = self.may_show_wrong_total(IDLE_SECONDS, "ListMmsJobs")
        differing = {
            "counts": not is_unsure and shown.jobs.counts != {status: counts[status] for status in JobStatus},
            "rows": {key: value for key, value in found.items() if held.get(key) != value},
            "missing": (unfinished.keys() | _unresolved(shown, jobs)) - found.keys(),
            "stopped": shown.jobs.stopped != sum(bool(job.stopped) for job in unfinished.values()),
        }
        return {name: value for name, value in differing.items() if value}

    def _check_timers(self, shown: SourceSnapshot) -> None:
        assert shown.timers is not None
        if self.may_show_wrong_total(HOUR_SECONDS, "ListMmsTimers", "ListMmsTimerLogs"):
            return
        truth = self.simulator.world.truth()
        logs, expected = truth.timers(SOURCE), expected_timers(truth, SOURCE)
        assert {each.row.id for each in shown.timers.timers} == {timer.id for timer in logs}
        for timer, entries in logs.items():
            runs, due = next((each.runs, each.due_at) for each in shown.timers.timers if each.row.id == timer.id)
            assert runs is not None
            unread = self._unread(entries)
            found = {"status": runs.last_status, LAST_RUN: runs.last_run_at, LAST_SKIP: runs.last_skip_at, DUE: due}
            true = {name: value for name, value in expected[str(timer.id)].items() if name in found.keys() - unread}
            assert {name: found[name] for name in true} == true, timer.id
            assert all(found[name] in (None, expected[str(timer.id)][name]) for name in unread - {DUE}), timer.id

    def _unread(self, logs: list[TimerLog]) -> set[str]:
        """Return the facts that the newest pages of these logs, oldest first, do not say."""
        is_skip = [(log.msg or "").startswith(SKIPPED) for log in logs]
        skips = next((n for n, each in enumerate(reversed(is_skip)) if not each), len(logs))
        if skips >= MAX_TIMER_LOG_PAGES * self.log_page_rows:
            return {"status", LAST_RUN, DUE}
        # The last page, where the oldest logs are listed first, may have 1 row.
        rows = 1 if "ListMmsTimerLogs" in self.simulator.reversed_lists else self.log_page_rows
        newest = is_skip[-max(rows, skips + 1) :]
        return set() if True in newest else {LAST_SKIP}


def named_failures(shown: SourceSnapshot) -> list[FailedUnits]:
    """Return the failures by kind, those that are known."""
    kinds = (shown.failures.tables, shown.failures.partitions) if shown.failures is not None else ()
    return [kind for kind in kinds if kind is not None]


def _unresolved(shown: SourceSnapshot, jobs: Mapping[int, Job]) -> set[int]:
    """Return the failed jobs that may have something FAILED in their scope, as far as the names show it."""
    failed = {key for key, job in jobs.items() if job.status == JobStatus.FAILED}
    kinds = named_failures(shown)
    if len(kinds) < 2 or any(kind.total != len(kind.newest) for kind in kinds):
        return failed
    units = UnitSet.of((each.src_db, each.table, each.id) for kind in kinds for each in kind.newest)
    return {key for key in failed if covers_any(jobs[key], units)}


def as_failed(each: Table | Partition) -> FailedUnit:
    """Return the names of a table or a partition as a failure."""
    if isinstance(each, Table):
        return FailedUnit(each.db_name, each.name, None, each.dst_project_name, each.dst_schema_name, each.dst_name)
    place = each.dst_project_name, each.dst_schema_name, each.dst_table_name
    return FailedUnit(each.db_name, each.table_name, each.value, *place, id=each.id)
