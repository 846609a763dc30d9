"""The collector of reasons: ListMmsTasks and ListMmsTaskLogs -> ReasonsStats.

Reads only after the failures changed: the totals of failed tasks, and the logs of the newest ones (highest ids) whose
tables are FAILED now. A log is read once; of its text, only the reason is kept.
"""

from itertools import islice
from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.state.failure_state import FAILED_COUNTS
from exporter.collect.state.reason_state import (
    NO_FAILURES,
    Counts,
    FailedTask,
    ReasonState,
    TableName,
    table_name,
    tasks_of,
)
from exporter.collect.state.source_state import Cached, SourceState
from exporter.errors import UNAVAILABLE, ExporterError, MmsError, NotFound
from exporter.mms.diagnosis.message_text import decisive_row, message_of
from exporter.mms.diagnosis.reason_rules import Reason, rule_of
from exporter.mms.listing import Listing
from exporter.mms.models.statuses import TASK_PHASES
from exporter.mms.models.task_records import Task, TaskLog
from exporter.mms.protocol import PAGE_SIZE, TaskFilter

LOGS_PER_REFRESH: Final = 100
"""Limit of logs per account and refresh; the next refresh reads the others."""
MAX_ERRORS: Final = 3
"""After this many errors in one source, its other logs wait for the next refresh."""


class ReasonsCollector(SourcesCollector):
    """The collector of reasons of one account."""

    name = "reasons"

    def __init__(self, context: CollectorContext, max_tasks: int) -> None:
        super().__init__(context)
        self.max_tasks = max_tasks
        self._logs_left = 0

    async def collect(self) -> list[ExporterError]:
        """Read the failed tasks of every source."""
        self._logs_left = LOGS_PER_REFRESH
        return await super().collect()

    def cached(self, source: SourceState) -> Cached[ReasonState]:
        """Return the reason state of a source."""
        return source.reasons

    async def read(self, source: SourceState, now: float) -> None:
        """Update the reasons of `source`.

        A missing permission keeps the previous values until they are stale. Raises: MmsError for other failures, after
        everything was tried.
        """
        counts = _failed_counts(source)
        if counts is None:
            return
        if counts == NO_FAILURES:
            source.reasons.state, source.reasons.at = ReasonState(), now
            return
        state, tables = source.reasons.state, _failed_tables(source)
        try:
            if not state.is_unchanged(counts, tables, now):
                state = replace(await self._listed(source, tables), counts=counts, tables=tables, listed_at=now)
        except UNAVAILABLE:
            return
        errors: list[MmsError] = []
        state = await self._with_logs(source, state, errors)
        source.reasons.state = state.with_stats(source.name)
        source.reasons.at = now
        if errors:
            raise errors[0]

    async def _listed(self, source: SourceState, tables: frozenset[TableName]) -> ReasonState:
        """Return the state with the failed tasks of now. Raises: MmsError."""
        listings = {phase: await self._failed_tasks(source.name.source_id, phase) for phase in TASK_PHASES}
        failed = (row for phase, listing in listings.items() for row in listing.rows if _has_failed_in(phase, row))
        newest = islice(tasks_of(tables, failed), self.max_tasks)
        return replace(
            source.reasons.state.with_newest(tuple(map(FailedTask.of, newest))),
            is_stable=all(listing.is_consistent for listing in listings.values()),
            totals={phase: listing.total for phase, listing in listings.items() if listing.total is not None},
        )

    async def _failed_tasks(self, source_id: int, phase: str) -> Listing[Task]:
        filters, wanted = TaskFilter(status=f"{phase}_FAILED"), max(self.max_tasks, PAGE_SIZE)
        return await self.permissions.call(
            "ListMmsTasks", lambda: self.context.client.newest_tasks(source_id, filters, wanted)
        )

    async def _with_logs(self, source: SourceState, state: ReasonState, errors: list[MmsError]) -> ReasonState:
        """Return the state after reading the logs that are left, and append to `errors`."""
        for task in state.unread:
            if self._logs_left <= 0 or len(errors) >= MAX_ERRORS:
                break
            self._logs_left -= 1
            try:
                reason = await self._reason(source.name.source_id, task)
            except UNAVAILABLE:
                break
            except MmsError as error:
                errors.append(error.without_frames())
            else:
                state = replace(state, reasons={**state.reasons, task: reason})
        return state

    async def _reason(self, source_id: int, task: FailedTask) -> Reason | None:
        """Return why a task failed; None if MMS no longer has it, or its log has no message. Raises: MmsError."""
        try:
            logs = await self.permissions.call(
                "ListMmsTaskLogs", lambda: self.context.client.task_logs(source_id, task.id)
            )
        except NotFound:
            return None
        return reason_of(logs)


def reason_of(logs: tuple[TaskLog, ...]) -> Reason | None:
    """Return the reason that a log states; None if it has no message."""
    row = decisive_row(logs)
    return None if row is None else rule_of(message_of(row)).reason


def _failed_counts(source: SourceState) -> Counts | None:
    """Return the failures in the row of a source; None if it has no row or none of both."""
    if source.row is None:
        return None
    tables, partitions = (count(source.row) for count in FAILED_COUNTS.values())
    return None if tables is None and partitions is None else (tables, partitions)


def _failed_tables(source: SourceState) -> frozenset[TableName]:
    """Return the tables that the collector of failures names, also for their partitions."""
    kinds = source.failures.state.kinds.values()
    return frozenset(table_name(unit.src_db, unit.table) for kind in kinds for unit in kind.failures.newest)


def _has_failed_in(phase: str, row: Task) -> bool:
    # The status may have changed since the filter matched.
    return row.status in (None, f"{phase}_FAILED")
