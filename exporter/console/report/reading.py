"""Reads the parts of a report, one data source at a time. An error of one part hides no other."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from msgspec.structs import replace as replace_fields

from exporter.clock import Clock
from exporter.console import database_list, failed, failed_why, job_list, source_list
from exporter.console.output.command_report import SOURCE_FIELDS, Field, Found, dotted_name
from exporter.console.report.record import (
    DatabasesPart,
    FailuresPart,
    JobsPart,
    OutdatedPart,
    SchedulesPart,
    ScopePart,
    SourceReport,
    TasksPart,
    UnitTotals,
    Unread,
    count_of,
    open_points,
)
from exporter.console.selection.queries import Options, QueryPart, QueryTarget
from exporter.errors import UNAVAILABLE, MalformedAnswer, MmsError
from exporter.masking import masked
from exporter.mms.decoding import Page
from exporter.mms.listing import Listing
from exporter.mms.models.progress import partition_counts, table_counts
from exporter.mms.models.records import Job
from exporter.mms.models.schedules import TimerHistory, TimerRuns, first_due, is_late
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, UNKNOWN, JobStatus, TaskStatus
from exporter.mms.models.timer_records import Timer
from exporter.mms.models.times import unix_seconds
from exporter.mms.protocol import JobFilter, PartitionFilter, TaskFilter
from exporter.retry.journal import JOB_PREFIX
from exporter.runtime import gather_or_cancel

T = TypeVar("T")

MAX_TASKS: Final = 1000
"""Newest tasks of a data source that are read."""
_INCOMPLETE: Final = "ListMmsTasks: the list is incomplete or changed while it was read"
DATABASE_FIELDS: Final = database_list.FIELDS[len(SOURCE_FIELDS) :]
_OUTDATED_FIELDS: Final = [
    each for each in failed.FIELDS if each.name in {"id", "db_name", "table_name", "value", "last_ddl_time"}
]
_VERIFICATION: Final[Field[job_list.Row]] = Field(
    "verification", "on, off or default", lambda row: _verification(row.record)
)
_JOB_FIELDS: Final = (*job_list.FIELDS[len(SOURCE_FIELDS) :], _VERIFICATION)


@dataclass
class SourceReader:
    """Reads one data source, part after part."""

    target: QueryTarget
    options: Options
    clock: Clock
    errors: list[tuple[str, MmsError]] = field(default_factory=list)

    async def report(self, listed_at: float) -> QueryPart[SourceReport]:
        """Return the report; the row of the data source was read at `listed_at`."""
        report = SourceReport(
            account=self.target.account.name,
            source_id=self.target.source.id,
            source=self.target.source.name,
            time_zone=self.target.account.time_zone.key,
            scope=self._scope(listed_at),
            databases=await self._part("databases", self._databases),
            jobs=await self._part("jobs", self._jobs),
            tasks=await self._part("tasks", self._tasks),
            # Without failures in the row of the data source, its lists are not read.
            failures=await self._part("failures", self._failures, listed_at),
            outdated=await self._part("outdated", self._outdated),
            schedules=await self._part("schedules", self._schedules),
            not_read=[Unread(part, each.reason, str(each), each.hint) for part, each in self.errors],
        )
        report = replace_fields(report, open_points=[*open_points(report)], duration_seconds=self._duration(report))
        omitted = report.databases.total - len(report.databases.listed) if report.databases else 0
        texts = [
            count_of(omitted, "more database") if omitted else "",
            report.failures.omitted if report.failures else "",
        ]
        return QueryPart((report,), " and ".join(filter(None, texts)), [error for _, error in self.errors])

    async def _part(self, name: str, read: Callable[[str], Awaitable[T]], read_at: float | None = None) -> T | None:
        try:
            return await read(self._time(self.clock.wall() if read_at is None else read_at))
        except MmsError as error:
            self.errors.append((name, error))
            return None

    def _time(self, seconds: float) -> str:
        return datetime.fromtimestamp(int(seconds), self.target.account.time_zone).isoformat()

    def _rows(self, fields: Iterable[Field[Any]], records: Iterable[object]) -> list[dict[str, Any]]:
        found = (Found(self.target.account, self.target.source, each) for each in records)
        return [{each.name: each.value(row) for each in fields} for row in found]

    def _scope(self, listed_at: float) -> ScopePart:
        source = self.target.source
        return ScopePart(
            read_at=self._time(listed_at),
            row=self._rows(source_list.FIELDS, [source])[0],
            tables=UnitTotals.of(table_counts(source)),
            partitions=UnitTotals.of(partition_counts(source)),
        )

    async def _databases(self, read_at: str) -> DatabasesPart:
        listing = await self.target.client.list_databases(self.target.source.id)
        if not listing.is_consistent:  # their sums would be wrong
            raise MalformedAnswer(database_list.INCOMPLETE)
        rows = sorted((each for each in listing.rows if not each.deleted), key=lambda each: each.size_rank)
        return DatabasesPart(
            read_at=read_at,
            total=len(rows),
            size=_sum([row.size for row in rows]),
            num_rows=_sum([row.num_rows for row in rows]),
            incomplete=sum(None in (row.size, row.num_rows) for row in rows),
            listed=self._rows(DATABASE_FIELDS, rows[: self.options.limit]),
        )

    async def _jobs(self, read_at: str) -> JobsPart:
        total, stopped, by_status, jobs = await self._all_jobs()
        shown = await job_list.with_resolution(self.target, jobs)
        shown.sort(key=lambda job: (job.status not in UNFINISHED_JOB_STATUSES, job.status == JobStatus.DONE, -job.id))
        verification = Counter(map(_verification, shown))
        created = self._times(job.create_time for job in shown)
        failed = sum(job.status == JobStatus.FAILED for job in shown)
        return JobsPart(
            read_at=read_at,
            total=total,
            by_status=by_status,
            stopped=stopped,
            first_created=created[0] if created else None,
            examined=len(shown),
            verification={each: verification[each] for each in ("on", "off", "default")},
            unresolved=max(failed, by_status.get(JobStatus.FAILED) or 0) - sum(bool(job.resolved) for job in shown),
            retries=sum((job.name or "").startswith(JOB_PREFIX) for job in shown),
            listed=self._rows(_JOB_FIELDS, shown[: self.options.limit]),
        )

    async def _all_jobs(self) -> tuple[int | None, int | None, dict[str, int | None], list[Job]]:
        """Return the total, the stopped jobs, those by status, and the jobs that were read."""
        page = partial(self.target.client.jobs_page, self.target.source.id)
        first = await page(JobFilter())
        if first.total is not None and first.total <= len(first.rows):
            counts = Counter(job.status or UNKNOWN for job in first.rows)
            marks = [job.stopped for job in first.rows]
            return first.total, None if None in marks else marks.count(True), dict(counts), list(first.rows)
        # The newest of each status, and the oldest for the start of the migration.
        pages = [await page(JobFilter(status=status)) for status in JobStatus]
        stopped = await page(JobFilter(stopped=1))
        last = await page(JobFilter(), -(-(first.total or 1) // max(1, len(first.rows))))
        jobs = {job.id: job for each in (first, *pages, stopped, last) for job in each.rows}
        by_status = {status.value: each.total for status, each in zip(JobStatus, pages, strict=True)}
        if (others := (first.total or 0) - sum(each or 0 for each in by_status.values())) > 0:
            by_status["OTHER"] = others
        return first.total, _marked_total(stopped, "stopped"), by_status, list(jobs.values())

    async def _tasks(self, read_at: str) -> TasksPart:
        listing = await self.target.client.newest_tasks(self.target.source.id, TaskFilter(), MAX_TASKS)
        retried = sorted((row for row in listing.rows if row.retried_times), key=lambda row: -(row.retried_times or 0))
        is_known = listing.total == 0 or any(row.retried_times is not None for row in listing.rows)
        if not listing.is_complete:
            self.errors.append(("tasks", MalformedAnswer(_INCOMPLETE)))
        done = self._times(row.end_time for row in listing.rows if row.status == TaskStatus.DONE)
        return TasksPart(
            read_at=read_at,
            total=listing.total,
            by_status=await self._task_counts(listing),
            examined=len(listing.rows),
            retried=len(retried) if is_known else None,
            retries=sum(row.retried_times or 0 for row in retried) if is_known else None,
            last_done=done[-1] if done else None,
            most_retried=[
                {
                    "id": row.id,
                    "job_id": row.job_id,
                    "table": dotted_name(row.src_db_name, row.src_table_name),
                    "status": row.status,
                    "retried_times": row.retried_times,
                }
                for row in retried[: self.options.limit]
            ],
        )

    async def _task_counts(self, listing: Listing[Any]) -> Mapping[str, int | None]:
        if listing.is_consistent and listing.total == len(listing.rows):
            return Counter(row.status or UNKNOWN for row in listing.rows)
        page, source_id = self.target.client.tasks_page, self.target.source.id
        pages = await gather_or_cancel(page(source_id, TaskFilter(status=each), page_size=1) for each in TaskStatus)
        return {each.value: page.total for each, page in zip(TaskStatus, pages, strict=True) if page.total != 0}

    async def _failures(self, read_at: str) -> FailuresPart:
        found = await failed_why.read_groups(self.options, self.target)
        self.errors += [("failures", error) for error in found.errors]
        groups = sorted(found.records, key=lambda group: -group.count)
        counts = self.target.source.tables_failed_num, self.target.source.partitions_failed_num
        return FailuresPart(
            read_at=read_at,
            count=None if None in counts else sum(each or 0 for each in counts),
            examined=sum(group.count for group in groups if group.is_examined),
            omitted=found.omitted,
            groups=self._rows(failed_why.fields(self.options.next_command)[len(SOURCE_FIELDS) :], groups),
        )

    async def _outdated(self, read_at: str) -> OutdatedPart:
        page = await self.target.client.partitions_page(self.target.source.id, PartitionFilter(updated=True), 1)
        # UNVERIFIED: that MMS knows the filter. Rows without the mark show that it does not.
        number = _marked_total(page, "updated")
        rows = page.rows[: self.options.limit] if number else ()
        return OutdatedPart(read_at=read_at, partitions=number, listed=self._rows(_OUTDATED_FIELDS, rows))

    async def _schedules(self, read_at: str) -> SchedulesPart:
        listing = await self.target.client.list_timers(self.target.source.id)
        if not listing.is_consistent:
            raise MalformedAnswer("ListMmsTimers: the list is incomplete or changed while it was read")
        timers = sorted(listing.rows, key=lambda timer: -timer.id)
        timers_read = timers[: self.options.limit]
        histories = await gather_or_cancel(map(self._history, timers_read))
        return SchedulesPart(
            read_at=read_at,
            total=len(timers),
            listed=[self._schedule(timer, each) for timer, each in zip(timers_read, histories, strict=True)],
        )

    async def _history(self, timer: Timer) -> TimerHistory | None:
        """Return what the newest logs of a timer say; None if they cannot be read, which hides no other timer.

        Raises: MmsError if the logs of no timer are available.
        """
        try:
            logs = await self.target.client.newest_timer_logs(self.target.source.id, timer.id)
        except UNAVAILABLE:
            raise
        except MmsError as error:
            self.errors.append((f"log of schedule {timer.name or timer.id}", error))
            return None
        return TimerHistory.of(logs, self.target.account.time_zone)

    def _schedule(self, timer: Timer, history: TimerHistory | None) -> dict[str, Any]:
        due_at = None if history is None else first_due(timer, history, self.target.account.time_zone)
        runs = history.runs if history else TimerRuns(last_run_at=None, last_status=None, last_skip_at=None)
        is_known = due_at is not None or timer.stopped is True
        return {
            "id": timer.id,
            "name": timer.name,
            "src_db_name": timer.src_db_name,
            "schedule_type": timer.schedule_type,
            "value": timer.value and masked(timer.value),
            "stopped": timer.stopped,
            "is_read": history is not None,
            "last_run": self._optional_time(runs.last_run_at),
            "last_run_status": runs.last_status,
            "last_skip": self._optional_time(runs.last_skip_at),
            "is_missed": is_late(due_at, self.target.source.status, self.clock.wall()) if is_known else None,
        }

    def _optional_time(self, seconds: float | None) -> str | None:
        return None if seconds is None else self._time(seconds)

    def _times(self, texts: Iterable[str | None]) -> list[str]:
        moments = (unix_seconds(text, self.target.account.time_zone) for text in texts)
        return [self._time(each) for each in sorted(each for each in moments if each is not None)]

    def _duration(self, report: SourceReport) -> float | None:
        if report.jobs is None or report.tasks is None:
            return None
        times = report.jobs.first_created, report.tasks.last_done
        first, last = (unix_seconds(text, self.target.account.time_zone) for text in times)
        return None if first is None or last is None else max(0.0, last - first)


def _sum(values: Sequence[int | None]) -> int | None:
    known = [each for each in values if each is not None]
    return sum(known) if known or not values else None


def _marked_total(page: Page[Any], name: str) -> int | None:
    """Return the total of a page whose rows have a mark; None if MMS ignored the filter for it."""
    is_filtered = all(getattr(row, name) is True for row in page.rows)
    return page.total if is_filtered and bool(page.rows) == bool(page.total) else None


def _verification(job: Job) -> str:
    is_on = job.config.enable_verification if job.config else None
    return "default" if is_on is None else "on" if is_on else "off"
