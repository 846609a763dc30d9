"""State of why tasks of a source failed, kept between refreshes. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import ReasonsStats, SourceName
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.mms.diagnosis.reason_rules import Reason
from exporter.mms.models.task_records import Task

Counts = tuple[int | None, int | None]
"""Failed tables and partitions in the row of a source."""
NO_FAILURES: Final[Counts] = (0, 0)
TableName = tuple[str, str]
"""Database and table, in one case."""


def table_name(database: str | None, table: str | None) -> TableName:
    """Return the name of a table, for comparison."""
    return (database or "").casefold(), (table or "").casefold()


def tasks_of(tables: frozenset[TableName], rows: Iterable[Task]) -> Iterator[Task]:
    """Yield those of the newest job of each of `tables`, newest first."""
    # Tasks of earlier jobs stay failed in MMS, whatever became of their tables.
    jobs: dict[TableName, int | None] = {}
    for row in sorted(rows, key=lambda row: row.id, reverse=True):
        name = table_name(row.src_db_name, row.src_table_name)
        if name in tables and jobs.setdefault(name, row.job_id) == row.job_id:
            yield row


class FailedTask(Struct, frozen=True, gc=False):
    """One failure of a task: a task that fails again after a retry has another one."""

    id: int
    status: str | None
    retried_times: int | None
    start_time: str | None

    @classmethod
    def of(cls, row: Task) -> "FailedTask":
        """Return the failure of a row."""
        return cls(row.id, row.status, row.retried_times, row.start_time)


class ReasonState(Struct, frozen=True, gc=False):
    """State of a source's failed tasks; empty at first."""

    stats: ReasonsStats | None = None
    counts: Counts | None = None
    """Failures in the row of the source when the failed tasks were listed."""
    tables: frozenset[TableName] = frozenset()
    """Tables that were FAILED then, or had FAILED partitions."""
    listed_at: float = 0.0
    """Monotonic seconds."""
    is_stable: bool = False
    """Whether the failed tasks need to be listed again only after the counts change."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Failed tasks by phase."""
    newest: tuple[FailedTask, ...] = ()
    """Those to examine, newest first."""
    reasons: Mapping[FailedTask, Reason | None] = field(default_factory=dict)
    """Reasons of the examined ones; None for one that MMS no longer has."""

    def is_unchanged(self, counts: Counts, tables: frozenset[TableName], now: float) -> bool:
        """Return whether `counts` and `tables` confirm the list of failed tasks."""
        is_same = (self.counts, self.tables) == (counts, tables)
        return self.is_stable and is_same and now - self.listed_at < MAX_LIST_AGE_SECONDS

    def invalidated(self) -> Self:
        """Return the same values, to be listed again; no log is read twice."""
        return replace(self, is_stable=False)

    @property
    def unread(self) -> list[FailedTask]:
        """Return the newest failed tasks whose log was not read."""
        return [task for task in self.newest if task not in self.reasons]

    def with_newest(self, newest: tuple[FailedTask, ...]) -> Self:
        """Return the state with these failed tasks; forgets the reasons of others, and logs without a message."""
        known = {task: reason for task in newest if (reason := self.reasons.get(task)) is not None}
        return replace(self, newest=newest, reasons=known)

    def with_stats(self, name: SourceName) -> Self:
        """Return the state with new stats; equal stats stay the same object."""
        found = Counter(reason.value for reason in self.reasons.values() if reason is not None)
        # While nothing was examined and something is to be, no reason is known not to occur.
        reasons = None if self.unread and not found else {reason.value: found[reason.value] for reason in Reason}
        stats = ReasonsStats(name, self.totals, reasons)
        return replace(self, stats=self.stats if self.stats == stats else stats)
