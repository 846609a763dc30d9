"""`show`: prints all fields of one table, partition or job.

IDs are unique per data source only, so every selected data source is read.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.command_report import (
    SOURCE_FIELDS,
    TIMES,
    CommandReport,
    Field,
    Found,
    age,
    amount,
    json_value,
    record_field,
    size,
)
from exporter.console.queries import Kind, Options, QueryPart, QueryTarget, query_sources
from exporter.errors import MmsError, NotFound, PermissionRefused
from exporter.masking import masked
from exporter.mms.models import Column, Job, Partition, Table
from exporter.mms.protocol import TaskFilter, get_mms_job
from exporter.mms.record import ApiRecord
from exporter.mms.statuses import TaskStatus

Row = Found[Any]


class JobWithTasks(Job, frozen=True, kw_only=True):
    """A job with the counts of its tasks."""

    tasks: dict[str, int] | None = None
    """Number of tasks by status; None if listing them is denied."""


RECORDS: Final[Mapping[Kind, type[ApiRecord]]] = {"table": Table, "partition": Partition, "job": JobWithTasks}
UNKNOWN: Final = "UNKNOWN"
"""Status of a task without one."""
_SOURCE_NAMES: Final = ("source_id", "source_name")
"""Fields taken from the data source, because MMS does not always fill them."""


def fields(kind: Kind) -> Sequence[Field[Row]]:
    """Return all fields of a kind."""
    names = [name for name in RECORDS[kind].__struct_fields__ if name not in _SOURCE_NAMES]
    return (*SOURCE_FIELDS, *(record_field(name, "") for name in names))


async def show(config: Config, options: Options, clock: Clock) -> CommandReport[Row]:
    """Return the records with the selected ID. Raises: ConfigError."""
    (kind, number), now = options.record, clock.wall()

    async def read(target: QueryTarget) -> QueryPart[Any]:
        try:
            if kind == "job":
                return await _job(target, number)
            get = target.client.get_table if kind == "table" else target.client.get_partition
            return QueryPart((await get(target.source.id, number),))
        except NotFound:
            return QueryPart(())

    result = await query_sources(config, options, read)
    return CommandReport(
        fields=fields(kind),
        card=lambda row: card(row, now),
        rows=result.found,
        empty_text=f"no {kind} with ID {number} in the selected data sources",
        errors=result.errors,
        warnings=result.warnings,
        must_have_rows=True,
    )


def card(row: Row, now: float) -> Iterator[tuple[str, str]]:
    """Yield the filled fields as label and text."""
    yield "account", row.account.name
    yield "source", f"{row.source.name or ''} ({row.source.id})"
    for name in row.record.__struct_fields__:
        if name not in _SOURCE_NAMES:
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
    counts: dict[str, int] | None = None
    errors: list[MmsError] = []
    try:
        counts = await _tasks(target, number)
    except PermissionRefused:
        pass
    except MmsError as error:
        errors.append(error)
    return QueryPart((JobWithTasks(**msgspec.structs.asdict(job), tasks=counts),), errors=errors)


async def _tasks(target: QueryTarget, job_id: int) -> dict[str, int]:
    """Return the number of a job's tasks by status."""
    page = await target.client.tasks_page(target.source.id, TaskFilter(job_id=job_id))
    # One page with all tasks saves the calls for the totals.
    if page.total is not None and page.total <= len(page.rows):
        return dict(Counter(row.status or UNKNOWN for row in page.rows))
    filters = [TaskFilter(job_id=job_id, status=status) for status in TaskStatus]
    pages = await asyncio.gather(*(target.client.tasks_page(target.source.id, each, page_size=1) for each in filters))
    return {status: page.total for status, page in zip(TaskStatus, pages, strict=True) if page.total}
