"""`show`: prints all fields of one table, partition or job.

IDs and names are unique per data source only, so every selected data source is read.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.failed import FAILED
from exporter.console.failed_why import cause_of
from exporter.console.job_list import ShownJob, noted_status, with_resolution
from exporter.console.output.command_report import (
    SOURCE_FIELDS,
    TIMES,
    CommandReport,
    Field,
    Found,
    QueryResult,
    age,
    amount,
    dotted_name,
    json_value,
    record_field,
    size,
)
from exporter.console.selection.name_filters import selectors, tables_in
from exporter.console.selection.newest_rows import newest
from exporter.console.selection.queries import Kind, Options, QueryPart, QueryTarget, query_sources
from exporter.errors import ConfigError, MmsError, NotFound, PermissionRefused, Problem
from exporter.masking import masked, printable
from exporter.mms.decoding import Page
from exporter.mms.diagnosis.message_text import decisive_row, has_failed, message_of, readable
from exporter.mms.diagnosis.reason_rules import rule_of
from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.names import MAX_SUGGESTED, ambiguous_name, unknown_name
from exporter.mms.models.records import Column, Job, Partition, Table
from exporter.mms.models.statuses import TaskStatus
from exporter.mms.models.task_records import TaskLog
from exporter.mms.protocol import PAGE_SIZE, JobFilter, TaskFilter, get_mms_job, like
from exporter.runtime import gather_or_cancel

Row = Found[Any]


class JobWithTasks(ShownJob, frozen=True, kw_only=True):
    """A job with the counts of its tasks."""

    tasks: dict[str, int] | None = None
    """Number of tasks by status; None if listing them is denied."""


class TaskWithLog(ApiRecord, frozen=True, kw_only=True):
    """The log of a task, and what it says of a failure."""

    id: int
    reason: str | None = None
    """None if the task did not fail, or its log has no message."""
    hint: str | None = None
    log: tuple[TaskLog, ...] = ()
    """Oldest first; texts masked, without stack traces, cut."""


class FailureReason(msgspec.Struct, frozen=True):
    """Why a table or partition failed, by the newest failed task of the table."""

    reason: str
    message: str
    """Masked and cut; without a task, that there is none."""
    task_id: int | None
    hint: str


class TableWithFailure(Table, frozen=True, kw_only=True):
    """A table, and why it failed."""

    failure: FailureReason | None = None
    """None if it is not FAILED, or reading tasks or logs is denied."""


class PartitionWithFailure(Partition, frozen=True, kw_only=True):
    """A partition, and why it failed."""

    failure: FailureReason | None = None
    """None if it is not FAILED, or reading tasks or logs is denied."""


RECORDS: Final[Mapping[Kind, type[ApiRecord]]] = {
    "table": TableWithFailure,
    "partition": PartitionWithFailure,
    "job": JobWithTasks,
    "task": TaskWithLog,
}
UNKNOWN: Final = "UNKNOWN"
"""Status of a task without one."""
_SOURCE_NAMES: Final = ("source_id", "source_name")
"""Fields taken from the data source, because MMS does not always fill them."""


def fields(kind: Kind) -> Sequence[Field[Row]]:
    """Return all fields of a kind."""
    names = [name for name in RECORDS[kind].__struct_fields__ if name not in _SOURCE_NAMES]
    return (*SOURCE_FIELDS, *(record_field(name, "") for name in names))


async def show(config: Config, options: Options, clock: Clock) -> CommandReport[Row]:
    """Return the records with the selected ID or name. Raises: ConfigError."""
    (kind, key), now = options.record, clock.wall()
    if isinstance(key, str):
        result = await _named(config, options, kind, key)
    else:
        result = await query_sources(config, options, lambda target: _record_or_none(target, kind, key))
    return result.report(
        fields(kind),
        f"no {kind} with ID {key} in the selected data sources",
        card=lambda row: card(row, now),
        must_have_rows=True,
    )


async def _named(config: Config, options: Options, kind: Kind, name: str) -> QueryResult[Any]:
    """Return the records with a name, one in each data source. Raises: ConfigError if several have it, or none."""
    if kind == "partition":
        raise ConfigError(
            Problem(kind, f"expected the ID, which `failed` prints beside the value of the partition, not {name!r}")
        )
    if kind == "task":
        raise ConfigError(Problem(kind, f"expected the ID, as `failed --why` prints it, not {name!r}"))
    seen: set[str] = set()

    async def read(target: QueryTarget) -> QueryPart[Any]:
        rows = await (_tables_named(target, name) if kind == "table" else _jobs_named(target, name, seen))
        part = QueryPart(rows) if len(rows) != 1 else await _record(target, kind, rows[0].id)
        return replace(part, matched=frozenset({(kind, name)} if rows else ()))

    try:
        result = await query_sources(config, replace(options, tables=[name] if kind == "table" else ()), read)
    except ConfigError as error:
        raise ConfigError(
            *(replace(each, path=each.path.replace("--table", kind)) for each in error.problems)
        ) from None
    found = [(_full_name(row.record), row) for row in result.found]
    if len({full_name for full_name, _ in found}) > 1 or len({row.source.id for _, row in found}) < len(found):
        candidates = [(f"{full_name} of {printable(row.source.name or '')}", row.record.id) for full_name, row in found]
        several = len({row.source.id for _, row in found}) > 1
        reason = f"{ambiguous_name(kind, sorted(candidates))}{', and --source' if several else ''}"
        raise ConfigError(Problem(f"{kind} {printable(name)}", reason))
    if not found and not result.errors:
        raise ConfigError(Problem(kind, unknown_name(kind, name, seen)))
    return result


def _full_name(record: Table | Job) -> str:
    return printable(dotted_name(record.db_name, record.name) if isinstance(record, Table) else record.name or "")


async def _tables_named(target: QueryTarget, name: str) -> Sequence[Table]:
    wanted = await selectors(target.place, (), (name,))
    return [row for each in wanted for row in (await tables_in(target.place, each, MAX_SUGGESTED + 1)).rows]


async def _jobs_named(target: QueryTarget, name: str, seen: set[str]) -> Sequence[Job]:
    """Return the jobs with exactly this name; without one, add the newest names to `seen`."""

    def page(filters: JobFilter) -> Callable[[int], Awaitable[Page[Job]]]:
        return lambda number: target.client.jobs_page(target.source.id, filters, number)

    found = await newest(page(JobFilter(name=like(name))), lambda job: job.name == name, MAX_SUGGESTED, is_loose=True)
    if not found.rows:
        others = await newest(page(JobFilter()), lambda _: True, PAGE_SIZE, is_loose=False)
        seen.update(job.name for job in others.rows if job.name)
    return found.rows


async def _record_or_none(target: QueryTarget, kind: Kind, number: int) -> QueryPart[Any]:
    try:
        return await _record(target, kind, number)
    except NotFound:
        return QueryPart(())


async def _record(target: QueryTarget, kind: Kind, number: int) -> QueryPart[Any]:
    """Return one record. Raises: MmsError."""
    if kind == "job":
        return await _job(target, number)
    if kind == "task":
        return QueryPart((_task(number, await target.client.task_logs(target.source.id, number)),))
    get = target.client.get_table if kind == "table" else target.client.get_partition
    return await _with_failure(target, await get(target.source.id, number))


def card(row: Row, now: float) -> Iterator[tuple[str, str]]:
    """Yield the filled fields as label and text."""
    yield "account", row.account.name
    yield "source", f"{row.source.name or ''} ({row.source.id})"
    for name in row.record.__struct_fields__:
        if name == "status" and isinstance(row.record, ShownJob):
            yield name, noted_status(row, now)
        elif name not in _SOURCE_NAMES:
            yield from _lines(name, name, getattr(row.record, name), row, now)


def _lines(label: str, name: str, value: object, row: Row, now: float) -> Iterator[tuple[str, str]]:
    """Yield the lines of a field and of nested records."""
    if isinstance(value, Column):
        yield label, _column(value)
    elif isinstance(value, msgspec.Struct):
        for each in value.__struct_fields__:
            yield from _lines(f"{label}.{each}", each, getattr(value, each), row, now)
    elif isinstance(value, tuple) and not all(isinstance(each, str | int) for each in value):
        for each in value:
            yield from _lines(label, name, each, row, now)
    elif value not in (None, ()):
        yield label, _text(name, value, row, now)


def _text(name: str, value: object, row: Row, now: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in TIMES and isinstance(value, str):
        when, ago = str(json_value(name, value, row.account)), age(value, row.account.time_zone, now, TIMES[name])
        return f"{when} ({ago})" if ago != when else when
    if name == "size" and isinstance(value, int):
        return f"{size(value)} ({amount(value)} bytes)"
    if isinstance(value, int):
        return str(value) if name.endswith("id") else amount(value)
    shown = json_value(name, value, row.account)
    if isinstance(shown, list):
        return ", ".join(map(str, shown))
    return ", ".join(f"{key}: {each}" for key, each in shown.items()) if isinstance(shown, dict) else str(shown)


def _column(column: Column) -> str:
    """Return a table column as in its DDL."""
    parts = [column.name, column.type, "not null" if column.nullable is False else None]
    parts += [f"default {masked(column.default_value)}" if column.default_value else None]
    parts += [f"({masked(column.comment)})" if column.comment else None]
    return " ".join(part for part in parts if part)


async def _job(target: QueryTarget, number: int) -> QueryPart[Any]:
    """Return a job and, if permitted, its tasks. Raises: MmsError."""
    job = await target.client.send(get_mms_job(target.source.id, number))
    shown = ShownJob(**msgspec.structs.asdict(job))
    counts: dict[str, int] | None = None
    errors: list[MmsError] = []
    try:
        (shown,) = await with_resolution(target, [job])
        counts = await _tasks(target, number)
    except PermissionRefused:
        pass
    except MmsError as error:
        errors.append(error)
    return QueryPart((JobWithTasks(**msgspec.structs.asdict(shown), tasks=counts),), errors=errors)


async def _with_failure(target: QueryTarget, record: Table | Partition) -> QueryPart[Any]:
    """Return a table or partition and, if permitted, why it failed."""
    failure: FailureReason | None = None
    errors: list[MmsError] = []
    try:
        if record.status == FAILED:
            cause = await cause_of(record, target)
            errors += [cause.error] if cause.error else []
            failure = FailureReason(
                cause.rule.reason.value, cause.example or cause.pattern, cause.task_id, cause.rule.hint
            )
    except PermissionRefused:
        pass
    except MmsError as error:
        errors.append(error)
    kind = TableWithFailure if isinstance(record, Table) else PartitionWithFailure
    return QueryPart((kind(**msgspec.structs.asdict(record), failure=failure),), errors=errors)


def _task(number: int, logs: Sequence[TaskLog]) -> TaskWithLog:
    rows = sorted(logs, key=lambda row: row.id)
    log = tuple(
        msgspec.structs.replace(row, action=readable(row.action or "") or None, msg=readable(row.msg or "") or None)
        for row in rows
    )
    decisive = decisive_row(filter(has_failed, rows))
    if decisive is None:
        return TaskWithLog(id=number, log=log)
    rule = rule_of(message_of(decisive))
    return TaskWithLog(id=number, reason=rule.reason.value, hint=rule.hint, log=log)


async def _tasks(target: QueryTarget, job_id: int) -> dict[str, int]:
    """Return the number of a job's tasks by status."""
    page = await target.client.tasks_page(target.source.id, TaskFilter(job_id=job_id))
    # One page with all tasks saves the calls for the totals.
    if page.total is not None and page.total <= len(page.rows):
        return dict(Counter(row.status or UNKNOWN for row in page.rows))
    filters = [TaskFilter(job_id=job_id, status=status) for status in TaskStatus]
    pages = await gather_or_cancel(target.client.tasks_page(target.source.id, each, page_size=1) for each in filters)
    return {status: page.total for status, page in zip(TaskStatus, pages, strict=True) if page.total}
