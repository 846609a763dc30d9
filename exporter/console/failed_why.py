"""`failed --why`: the failures grouped by reason and message pattern, with the command that retries each group.

MMS does not tell which task was about which partition: the newest failed task of a table decides for all its failures.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from msgspec import Struct

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.failed import Failure, kind_of, nothing_failed, read_failures, table_of
from exporter.console.output.command_report import (
    SOURCE_FIELDS,
    CommandReport,
    Field,
    Found,
    age,
    dotted_name,
    record_field,
    rfc3339,
)
from exporter.console.output.next_command import DEFAULT_COMMAND, NextCommand
from exporter.console.selection.queries import Options, QueryPart, QueryTarget, query_sources
from exporter.errors import (
    UNAVAILABLE,
    AuthRefused,
    ConnectionFailed,
    CredentialsUnavailable,
    MmsError,
    NotFound,
    Throttled,
)
from exporter.masking import masked
from exporter.mms.diagnosis.message_text import decisive_part, decisive_row, message_of, pattern_of
from exporter.mms.diagnosis.reason_rules import UNKNOWN_RULE, Rule, rule_of
from exporter.mms.models.statuses import TASK_PHASES
from exporter.mms.models.task_records import Task
from exporter.mms.protocol import TaskFilter
from exporter.runtime import gather_or_cancel

MIN_LIMIT: Final = 10_000
"""Failed tables, and partitions, of a data source that are grouped, if `--limit` is not larger."""
TASKS_PER_PHASE: Final = 1000
"""Newest failed tasks of each phase among which those of the tables are looked for."""
MAX_LOGS: Final = 500
"""Logs of a data source that are read, if `--limit` is not larger: 50 seconds at 10 calls per second."""
MAX_BROKEN_LOGS: Final = 20
"""Logs that cannot be read after which no more are."""
MAX_NAMED: Final = 5
"""Tables that a card names; JSON and CSV have all."""
MAX_SELECTORS: Final = 10
"""Tables and partitions up to which a card has the command; JSON and CSV always have it."""
NO_MESSAGE: Final = "no failed task with a message was found"
NOT_READ: Final = "log not read, because newer tasks reached the limit"
_ERRORS_OF_ALL: Final = (*UNAVAILABLE, AuthRefused, CredentialsUnavailable, ConnectionFailed, Throttled)
"""Errors that are not about one log."""

TableKey = tuple[str, str]


class Cause(Struct, frozen=True):
    """Why a table failed."""

    rule: Rule
    pattern: str
    example: str
    since: str | None
    """Time of the message, as MMS writes it."""
    task_id: int | None
    error: MmsError | None = None
    """Why the log could not be read."""
    is_examined: bool = True
    """Whether the log was looked for."""


class FailureGroup(Struct, frozen=True):
    """Failures with one reason and one message pattern."""

    reason: str
    pattern: str
    count: int
    since: str | None
    """Time of the oldest message, as MMS writes it."""
    tables: tuple[str, ...]
    example: str
    task_id: int | None
    """Task of the example."""
    hint: str
    selectors: tuple[str, ...]
    """Words of `retry` that select exactly these failures."""
    is_examined: bool
    """Whether the logs were read."""


NO_CAUSE: Final = Cause(
    # A job over a whole database does not list its tables, and a job that was deleted is in no list.
    UNKNOWN_RULE._replace(
        hint="Look at the jobs of the database: `mms-exporter jobs --database=NAME`. If the job was deleted, only "
        "a retry gives a new message."
    ),
    *(NO_MESSAGE, "", None, None),
)
UNREAD: Final = Cause(
    UNKNOWN_RULE._replace(hint="Read more logs with `--limit=NUMBER`, or select fewer tables with `--table=NAME`."),
    *(NOT_READ, "", None, None),
    is_examined=False,
)
Row = Found[FailureGroup]


async def reasons(config: Config, options: Options, clock: Clock) -> CommandReport[Row]:
    """Return the groups of failures that `options` select. Raises: ConfigError."""
    result = await query_sources(config, options, partial(read_groups, options))
    now = None if options.absolute_times else clock.wall()
    largest_first = replace(result, found=sorted(result.found, key=lambda row: -row.record.count))
    return largest_first.report(
        fields(options.next_command),
        await nothing_failed(config, options, result),
        card=lambda row: _card(row, options.next_command, now),
    )


def fields(command: NextCommand = DEFAULT_COMMAND) -> Sequence[Field[Row]]:
    """Return the fields; `command` builds the retry commands."""
    return (
        *SOURCE_FIELDS,
        record_field("reason", "reason, as in the label of `mms_failed_task_reasons`"),
        Field("pattern", "message without numbers, IDs, names and addresses", lambda row: row.record.pattern),
        record_field("count", "number of failed tables and partitions"),
        Field("since", "time of the oldest message", lambda row: rfc3339(row.record.since, row.account.time_zone)),
        Field("tables", "source tables, as DATABASE.TABLE", lambda row: list(row.record.tables)),
        Field("example", "message of the newest task, masked and cut", lambda row: row.record.example),
        record_field("task_id", "ID of that task"),
        record_field("hint", "what to do"),
        Field("retry", "command that retries these failures", lambda row: _retry(row, command, row.record.selectors)),
    )


def _card(row: Row, command: NextCommand, now: float | None) -> Iterator[tuple[str, str]]:
    group = row.record
    yield "reason", group.reason
    yield "failures", f"{group.count:,} of {row.source.name or ''} ({row.source.id})"
    yield "message", group.pattern
    if group.since:
        yield "since", age(group.since, row.account.time_zone, now)
    more = f" and {len(group.tables) - MAX_NAMED:,} more" if len(group.tables) > MAX_NAMED else ""
    yield "tables", f"{', '.join(group.tables[:MAX_NAMED])}{more}"
    if group.example:
        yield "example", f"task {group.task_id}: {group.example}"
    yield "hint", group.hint
    yield "retry", _shown_retry(row, command)


def _shown_retry(row: Row, command: NextCommand) -> str:
    count = len(row.record.selectors)
    if count <= MAX_SELECTORS:
        return _retry(row, command, row.record.selectors)
    return f"too long to show, it selects {count:,} objects: --output=json has the command in the field `retry`"


def _retry(row: Row, command: NextCommand, selectors: Sequence[str]) -> str:
    return command.text("retry", f"--account={row.account.name}", f"--source={row.source.id}", *selectors)


async def read_groups(options: Options, target: QueryTarget) -> QueryPart[FailureGroup]:
    """Return the groups of one data source. Raises: MmsError."""
    # The default of --limit is for lists; a group is one row however many failures it has.
    part = await read_failures(replace(options, limit=max(options.limit, MIN_LIMIT)), target)
    if not part.records:
        return QueryPart((), part.omitted, part.errors, part.matched)
    by_table: dict[TableKey, list[Failure]] = defaultdict(list)
    for failure in part.records:
        by_table[_key(failure.db_name, table_of(failure))].append(failure)
    tasks = await _newest_tasks(target, by_table)
    newest = sorted(tasks, key=lambda key: tasks[key].id, reverse=True)[: max(options.limit, MAX_LOGS)]
    read = await _causes(target, [tasks[key] for key in newest])
    causes = dict.fromkeys(tasks, UNREAD) | dict(zip(newest, read, strict=True))
    found: dict[tuple[str, str], list[TableKey]] = defaultdict(list)
    for key in by_table:
        cause = causes.get(key, NO_CAUSE)
        found[cause.rule.reason, cause.pattern].append(key)
    groups = [
        _group([by_table[key] for key in keys], [causes.get(key, NO_CAUSE) for key in keys]) for keys in found.values()
    ]
    errors = {(each.reason, each.detail): each for cause in read if (each := cause.error)}
    return QueryPart(groups, part.omitted, [*part.errors, *errors.values()], part.matched)


async def cause_of(failure: Failure, target: QueryTarget) -> Cause:
    """Return why one table or partition failed. Raises: MmsError."""
    key = _key(failure.db_name, table_of(failure))
    tasks = await _newest_tasks(target, {key: failure})
    return await _cause(target, tasks[key]) if key in tasks else NO_CAUSE


def _key(database: str | None, table: str | None) -> TableKey:
    return (database or "").casefold(), (table or "").casefold()


async def _newest_tasks(target: QueryTarget, wanted: Mapping[TableKey, object]) -> dict[TableKey, Task]:
    """Return the newest failed task of each wanted table that has one."""
    listings = [
        await target.client.newest_tasks(target.source.id, TaskFilter(status=f"{phase}_FAILED"), TASKS_PER_PHASE)
        for phase in TASK_PHASES
    ]
    oldest_first = sorted((row for listing in listings for row in listing.rows), key=lambda row: row.id)
    found = {_key(row.src_db_name, row.src_table_name): row for row in oldest_first}
    return {key: found[key] for key in wanted if key in found}


async def _causes(target: QueryTarget, tasks: Sequence[Task]) -> Sequence[Cause]:
    errors: list[MmsError] = []
    slots = asyncio.Semaphore(target.account.concurrency)

    async def read(task: Task) -> Cause:
        async with slots:
            # Each can take three timeouts.
            cause = await _cause(target, task) if len(errors) < MAX_BROKEN_LOGS else _unread(errors[-1])
        errors.extend([cause.error] if cause.error else ())
        return cause

    return await gather_or_cancel(map(read, tasks))


async def _cause(target: QueryTarget, task: Task) -> Cause:
    try:
        row = decisive_row(await target.client.task_logs(target.source.id, task.id))
    except NotFound:
        row = None
    except _ERRORS_OF_ALL:
        raise
    except MmsError as error:
        return _unread(error.without_frames())
    if row is None:
        return NO_CAUSE
    message = message_of(row)
    return Cause(rule_of(message), pattern_of(message), decisive_part(message), row.create_time, task.id)


def _unread(error: MmsError) -> Cause:
    rule = UNKNOWN_RULE._replace(hint=f"Run the command again. If the error persists: {error.hint}.")
    return Cause(rule, f"log not read: {error.reason}", "", None, None, error=error, is_examined=False)


def _group(failures: Sequence[Sequence[Failure]], causes: Sequence[Cause]) -> FailureGroup:
    newest = max(causes, key=lambda cause: cause.task_id or 0)
    listed = [failure for each in failures for failure in each]
    return FailureGroup(
        reason=newest.rule.reason.value,
        pattern=newest.pattern,
        count=len(listed),
        since=min((masked(cause.since) for cause in causes if cause.since), default=None),
        tables=tuple(sorted({dotted_name(each[0].db_name, table_of(each[0])) for each in failures})),
        example=newest.example,
        task_id=newest.task_id,
        hint=newest.rule.hint,
        selectors=tuple(f"--{kind_of(failure)}={failure.id}" for failure in listed),
        is_examined=newest.is_examined,
    )
