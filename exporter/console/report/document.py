"""The report as a document for people. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from exporter.console.output.command_report import RESOLVED, STOPPED, amount, dotted_name, percent, share, size
from exporter.console.report.blocks import Block, Facts, Grid, Heading, Items, Paragraph
from exporter.console.report.record import (
    DatabasesPart,
    FailuresPart,
    JobsPart,
    MigrationReport,
    OutdatedPart,
    ReportPart,
    SchedulesPart,
    ScopePart,
    SourceReport,
    TasksPart,
    UnitTotals,
    Unread,
    count_of,
    is_less,
)
from exporter.mms.models.statuses import TaskStatus

P = TypeVar("P", bound=ReportPart)

TITLE: Final = "Migration report"
MAX_NAMED: Final = 5
"""Tables that a group of failures names."""
UNKNOWN: Final = "unknown"
"""A value that MMS did not return."""
NOT_READ: Final = "not read"
_NOTHING: Final = "None: everything in the inventory is DONE."
_VERIFYING: Final = (TaskStatus.VERIFICATION_DOING, TaskStatus.VERIFICATION_DONE, TaskStatus.VERIFICATION_FAILED)
_RFC3339: Final = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)([+-]\d\d:\d\d)$")


def document(report: MigrationReport, limit: int) -> Iterator[Block]:
    """Yield the blocks of a report; a list names at most `limit` objects."""
    yield Heading(1, TITLE)
    is_complete = "yes" if report.is_complete else "no"
    yield Facts([("Created", _time(report.created_at)), ("By", report.program), ("Everything was read", is_complete)])
    yield from _unread(report.not_read)
    if len(report.sources) > 1:
        rows = [(_name(each), _progress(each.scope), amount(len(each.open_points))) for each in report.sources]
        yield Grid("Data sources", ("Data source", "#Done", "#Open points"), rows)
    for source in report.sources:
        yield Heading(2, f"Data source {_name(source)}")
        yield from (each for each in _source(source, limit) if not isinstance(each, Grid) or each.rows)


def _name(source: SourceReport) -> str:
    return source.source or str(source.source_id)


def _unread(parts: Sequence[Unread]) -> Iterator[Block]:
    if parts:
        rows = [(each.part, each.reason, each.detail, each.hint) for each in parts]
        yield Grid("Not read", ("=Part", "=Reason", "Detail", "Next step"), rows)


def _source(source: SourceReport, limit: int) -> Iterator[Block]:
    yield Heading(3, "Open points")
    yield Items(source.open_points or [_NOTHING])
    yield from _unread(source.not_read)
    if source.read_in_part:
        yield Paragraph(f"Read in part: {', '.join(source.read_in_part)}.")
    yield Heading(3, "Scope and progress")
    yield from _part(source.scope, lambda _: _scope(source))
    yield Heading(3, "Databases")
    yield from _part(source.databases, _databases)
    yield Heading(3, "Failures")
    yield from _part(source.failures, lambda part: _failures(part, limit))
    yield Heading(3, "Retries")
    yield from _part(source.tasks, _retries)
    yield Heading(3, "Verification")
    yield from _part(source.jobs, _verified_jobs)
    yield from _part(source.tasks, _verified_tasks)
    yield Heading(3, "Outdated partitions")
    yield from _part(source.outdated, _outdated)
    yield Heading(3, "Schedules")
    yield from _part(source.schedules, _schedules)
    yield Heading(3, "Jobs")
    yield from _part(source.jobs, _jobs)
    yield Heading(3, "Sign-off")
    yield Facts([("Name", ""), ("Date", ""), ("Signature", "")])


def _part(part: P | None, blocks: Callable[[P], Iterable[Block]]) -> Iterator[Block]:
    if part is None:
        yield Paragraph("Not read; the reason is above.")
    else:
        yield Paragraph(f"Read at {_time(part.read_at)}", is_note=True)
        yield from blocks(part)


def _known(text: str | None) -> str:
    return text or UNKNOWN


def _time(text: str | None) -> str:
    return _RFC3339.sub(r"\1 \2\3 \4", text or UNKNOWN)


def _short_time(text: str | None) -> str:
    return _RFC3339.sub(r"\1 \2", text or UNKNOWN)


def _scope(source: SourceReport) -> Iterator[Block]:
    scope, row, seconds = source.scope, source.scope.row, source.duration_seconds
    of_tasks = _of_tasks(source.tasks)
    agent = {None: UNKNOWN, True: "online", False: "OFFLINE"}[row["agent_is_online"]]
    destinations = row["dst_projects"] or [row["dst_project"] or UNKNOWN]
    yield Facts(
        [
            ("Data source", f"{source.source or ''} ({source.source_id})".strip()),
            ("Account", source.account),
            ("Time zone", source.time_zone),
            ("Type", f"{_known(row['type'])}, region {_known(row['region'])}"),
            ("Status", f"{_known(row['status'])}, agent {agent}"),
            ("Destination", ", ".join(destinations)),
            ("Created", _time(row["create_time"])),
            ("Last metadata scan", f"{_time(row['last_update_time'])}, status {_known(row['scan_status'])}"),
            ("First job created", _time(source.jobs.first_created) if source.jobs else NOT_READ),
            ("Last task done", f"{_time(source.tasks.last_done)}{of_tasks}" if source.tasks else NOT_READ),
            ("Duration", UNKNOWN if seconds is None else f"{timedelta(seconds=seconds)}{of_tasks}"),
        ]
    )
    rows = [_units("Tables", scope.tables), _units("Partitions", scope.partitions)]
    yield Grid(
        f"Progress: {_progress(scope)}",
        ("=Objects", "#Total", "#Done", "#Done in part", "#Failed", "#Waiting or running"),
        rows,
    )


def _progress(scope: ScopePart) -> str:
    is_empty = scope.tables.total == scope.partitions.total == 0 and scope.row["last_update_time"]
    return percent(scope.row["progress"]) or ("nothing to migrate" if is_empty else UNKNOWN)


def _of_tasks(part: TasksPart | None) -> str:
    # A retry keeps the ID of its task: the task that ended last can be an old one.
    is_cut = part is not None and is_less(part.examined, part.total)
    return f" (of the newest {count_of(part.examined, 'task')})" if part and is_cut else ""


def _units(title: str, units: UnitTotals) -> tuple[str, ...]:
    is_partition = units.part_done is None and title == "Partitions"
    part_done = "" if is_partition else _number(units.part_done)
    return title, _number(units.total), _number(units.done), part_done, _number(units.failed), _number(units.left)


def _number(number: int | None) -> str:
    return UNKNOWN if number is None else amount(number)


def _cut(shown: int, total: int | None, noun: str) -> Iterator[Block]:
    if total is None or shown < total:
        yield Paragraph(f"Shown: {shown:,} of {count_of(total, noun) if total is not None else f'{UNKNOWN} {noun}s'}.")


def _databases(part: DatabasesPart) -> Iterator[Block]:
    without = f", without {count_of(part.incomplete, 'database')} of unknown size or rows" if part.incomplete else ""
    at_source = f"{size(part.size) or UNKNOWN}, {_number(part.num_rows)} rows{without}"
    yield Facts([("Databases", amount(part.total)), ("At the source", at_source)])
    titles = ("Database", "=Status", "#Tables done", "#Partitions done", "#Failed", "#Size", "#Rows", "Destination")
    yield Grid("Databases, the largest first", titles, [_database(row) for row in part.listed])
    yield from _cut(len(part.listed), part.total, "database")


def _database(row: Mapping[str, Any]) -> tuple[str, ...]:
    failed = (
        None
        if None in (row["tables_failed"], row["partitions_failed"])
        else row["tables_failed"] + row["partitions_failed"]
    )
    return (
        row["name"] or str(row["id"]),
        _known(row["status"]),
        share(row["tables_done"], row["tables"]) or UNKNOWN,
        share(row["partitions_done"], row["partitions"]) or UNKNOWN,
        _number(failed),
        size(row["size"]) or UNKNOWN,
        _number(row["num_rows"]),
        dotted_name(row["dst_project_name"], row["dst_name"]),
    )


def _failures(part: FailuresPart, limit: int) -> Iterator[Block]:
    count = _number(part.count)
    yield Paragraph(f"Failed tables and partitions: {count}. Groups by reason and message: {len(part.groups):,}.")
    if is_less(part.examined, part.count):
        yield Paragraph(f"Failures were examined: {part.examined:,} of {count}.")
    if part.omitted:
        yield Paragraph(f"In no group: {part.omitted}.")
    if part.groups:
        rows = [_group(row) for row in part.groups[:limit]]
        yield Grid(
            "Reasons, the most frequent first",
            ("=Reason", "#Failures", "Message", "Tables", "=Since"),
            rows,
        )
        yield from _cut(len(rows), len(part.groups), "group")
        yield Paragraph("Next steps:")
        yield Items(list(dict.fromkeys(f"{row['reason']}: {row['hint']}" for row in part.groups[:limit])))


def _group(row: Mapping[str, Any]) -> tuple[str, ...]:
    tables = row["tables"]
    more = f" and {len(tables) - MAX_NAMED:,} more" if len(tables) > MAX_NAMED else ""
    named = f"{', '.join(tables[:MAX_NAMED])}{more}"
    return row["reason"], amount(row["count"]), row["pattern"], named, _short_time(row["since"])


def _retries(part: TasksPart) -> Iterator[Block]:
    if part.total == 0:
        yield Paragraph("There are no tasks.")
        return
    if part.retried is None:
        yield Paragraph("MMS did not return how often tasks were retried.")
        return
    tasks = f"the newest {count_of(part.examined, 'task')} of {_number(part.total)}"
    yield Paragraph(f"Retried: {part.retried:,} of {tasks}. Number of their retries: {_number(part.retries)}.")
    if part.most_retried:
        rows = [
            (
                str(row["id"]),
                row["table"],
                _known(row["status"]),
                amount(row["retried_times"]),
                str(row["job_id"] or ""),
            )
            for row in part.most_retried
        ]
        yield Grid("Retried tasks, the most retries first", ("=Task", "Table", "=Status", "#Retries", "#Job"), rows)
        yield from _cut(len(rows), part.retried, "retried task")


def _verified_jobs(part: JobsPart) -> Iterator[Block]:
    of_jobs = f"of {count_of(part.examined, 'job')} that were read"
    texts = {"on": "on", "off": "off", "default": "not set, so MMS decides"}
    yield Items([f"Verification {texts[each]}: {number:,} {of_jobs}" for each, number in part.verification.items()])


def _verified_tasks(part: TasksPart) -> Iterator[Block]:
    counts = [(status, part.by_status.get(status, 0)) for status in _VERIFYING]
    yield Items([f"Tasks in status {status}: {_number(number)}" for status, number in counts])
    yield Paragraph(
        "A failed task keeps its status after a later job has migrated its table or partitions.", is_note=True
    )


def _outdated(part: OutdatedPart) -> Iterator[Block]:
    yield Paragraph(f"Partitions whose source changed after they were migrated: {_number(part.partitions)}.")
    rows = [
        (dotted_name(row["db_name"], row["table_name"]), row["value"] or "", _short_time(row["last_ddl_time"]))
        for row in part.listed
    ]
    yield Grid("Outdated partitions", ("Table", "Partition", "=Last DDL change"), rows)
    yield from _cut(len(rows), part.partitions, "partition") if rows else ()


def _schedules(part: SchedulesPart) -> Iterator[Block]:
    yield Paragraph(f"Schedules: {part.total:,}.")
    titles = ("Schedule", "Database", "=Due", "=Status", "=Last run", "=Last skip")
    yield Grid("Schedules, the newest first", titles, [_schedule(row) for row in part.listed])
    yield from _cut(len(part.listed), part.total, "schedule")


def _schedule(row: Mapping[str, Any]) -> tuple[str, ...]:
    stopped = {None: UNKNOWN, True: "stopped", False: "active"}[row["stopped"]]
    without = "none" if row["is_read"] else UNKNOWN
    last_run = f"{_short_time(row['last_run'])} {row['last_run_status'] or ''}" if row["last_run"] else without
    last_skip = _short_time(row["last_skip"]) if row["last_skip"] else without
    due = " ".join(each for each in (row["schedule_type"], row["value"]) if each)
    return row["name"] or str(row["id"]), row["src_db_name"] or "", due, stopped, last_run, last_skip


def _jobs(part: JobsPart) -> Iterator[Block]:
    statuses = ", ".join(f"{status} {_number(number)}" for status, number in part.by_status.items())
    yield Facts(
        [
            ("Jobs", _number(part.total)),
            ("By status", statuses or "none"),
            ("Stopped", _number(part.stopped)),
            ("Created by retry", f"{part.retries:,} of {part.examined:,} that were read"),
        ]
    )
    titles = ("=Job", "Name", "=Status", "#Tasks done", "Scope", "=Verification", "=Created")
    yield Grid("Jobs, unfinished and failed ones first", titles, [_job(row) for row in part.listed])
    yield from _cut(len(part.listed), part.total, "job")


def _job(row: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [text for text, holds in ((STOPPED, row["stopped"]), (RESOLVED, row["resolved"])) if holds]
    return (
        str(row["id"]),
        row["name"] or "",
        " ".join([_known(row["status"]), *notes]),
        share(row["task_done"], row["task_num"]) or UNKNOWN,
        dotted_name(row["src_db_name"], row["src_schema_name"]),
        row["verification"],
        _short_time(row["create_time"]),
    )
