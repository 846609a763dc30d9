"""`jobs`: jobs and how far each is; unfinished and failed ones, or those of a status, the newest first."""

from collections.abc import Callable, Sequence
from typing import Final

from exporter.config.loading import Config
from exporter.console.columns import ACCOUNT, PLACE, SOURCE, Field, Found, TableColumn, own
from exporter.console.command_report import CommandReport
from exporter.console.newest import Newest, merged, newest
from exporter.console.options import Options
from exporter.console.queries import QueryPart, QueryTarget, ask
from exporter.console.text_formats import STOPPED, age, percent, place, share
from exporter.mms.models import JOB_STATUSES, UNFINISHED_JOB_STATUSES, Job
from exporter.mms.progress import job_ratio
from exporter.mms.protocol import JobFilter, like

Row = Found[Job]

DEFAULT_STATUSES: Final = ("INIT", "DOING", "FAILED")
FIELDS: Final[Sequence[Field[Row]]] = (
    *PLACE,
    own("id", "ID of the job"),
    own("name", "name of the job"),
    own("type", "Database, Tables or Partitions"),
    own("status", f"{', '.join(JOB_STATUSES)} or a new value"),
    own("stopped", "whether the job is stopped"),
    Field("progress", "share of tasks that are done, 0 to 1", lambda row: job_ratio(row.thing)),
    own("task_num", "number of tasks"),
    own("task_done", "number of tasks that are done"),
    own("src_db_name", "source database"),
    own("src_schema_name", "source schema; null if the source has no schemas"),
    own("dst_db_name", "destination MaxCompute project"),
    own("dst_schema_name", "destination schema"),
    own("create_time", "creation time"),
    own("eta", "requested completion time; often null"),
)


async def jobs(config: Config, options: Options, now: float) -> CommandReport[Row]:
    """Return the jobs that `options` mean. Raises: ConfigError."""
    statuses = options.statuses_among(JOB_STATUSES) or DEFAULT_STATUSES

    async def read(target: QueryTarget) -> QueryPart[Job]:
        # One list after the other, in the order of a job's life: one that moves on is seen twice rather than never.
        lists = [
            await _listed(target, status, database, table, options.limit)
            for status in statuses
            for database, table in options.places()
        ]
        found = merged(lists, options.limit, _rank)
        return QueryPart(found.rows, found.more("job"))

    told = await ask(config, options, read)
    return CommandReport(
        fields=FIELDS,
        columns=_columns(now, has_accounts=len(config.accounts) > 1),
        rows=told.found,
        nothing="no matching jobs",
        omitted=told.omitted,
        troubles=told.troubles,
    )


async def _listed(target: QueryTarget, status: str, database: str | None, table: str | None, limit: int) -> Newest[Job]:
    """Return jobs of one status; those of one database, and those that migrate one table, where one is named."""
    filters = JobFilter(status=status, src_db_name=database and like(database), src_table_name=table and like(table))
    return await newest(
        lambda page: target.client.jobs_page(target.source.id, filters, page),
        _fits(status, database, table),
        limit,
        is_loose=database is not None or table is not None,
    )


def _fits(status: str, database: str | None, table: str | None) -> Callable[[Job], bool]:
    """Return what tells whether a job is meant.

    Which tables a job of a whole database or of partitions migrates is not in its row: there MMS's word is taken.
    """

    def fits(job: Job) -> bool:
        named = job.config.tables if job.config else None
        return (
            (job.status is None or job.status.upper() == status)
            and (database is None or job.src_db_name == database)
            and (table is None or not named or table in named)
        )

    return fits


def _rank(job: Job) -> tuple[bool, int]:
    """Return what puts unfinished jobs before failed ones where not all can be shown."""
    return (job.status or "").upper() in UNFINISHED_JOB_STATUSES, job.id


def _columns(now: float, *, has_accounts: bool) -> list[TableColumn[Row]]:
    return [
        *([ACCOUNT] if has_accounts else []),
        SOURCE,
        TableColumn("ID", lambda row: str(row.thing.id), "figure"),
        TableColumn("JOB", lambda row: row.thing.name or ""),
        TableColumn("STATUS", lambda row: _status(row.thing), "status"),
        TableColumn("PROGRESS", lambda row: percent(job_ratio(row.thing)), "bar", lambda row: job_ratio(row.thing)),
        TableColumn("TASKS", lambda row: share(row.thing.task_done, row.thing.task_num), "figure"),
        TableColumn("KIND", lambda row: row.thing.type or "", rank=2),
        TableColumn("DATABASE", lambda row: place(row.thing.src_db_name, row.thing.src_schema_name), rank=1),
        TableColumn("TO", lambda row: place(row.thing.dst_db_name, row.thing.dst_schema_name), rank=3),
        TableColumn("CREATED", lambda row: age(row.thing.create_time, row.account.time_zone, now), "figure", rank=1),
        TableColumn("ETA", lambda row: age(row.thing.eta, row.account.time_zone, now), rank=1),
    ]


def _status(job: Job) -> str:
    return f"{job.status or ''}{f' {STOPPED}' if job.stopped else ''}".strip()
