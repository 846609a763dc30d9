"""Reads the units that the user selected: all failures of a source, or named tables, partitions and jobs.

Unfinished jobs are read last, so that jobs created meanwhile are seen.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from msgspec import structs

from exporter.errors import ConfigError, NotFound, Problem
from exporter.mms import protocol
from exporter.mms.client import Client
from exporter.mms.models.names import ambiguous_name, is_glob, table_id, table_names, unknown_name
from exporter.mms.models.records import Job
from exporter.mms.protocol import JobFilter, TableFilter
from exporter.retry.coverage import Coverage
from exporter.retry.earlier_runs import EarlierJobs
from exporter.retry.job_lookup import unfinished_jobs
from exporter.retry.planning import Refused, RetryPlan, Wanted, blocking_jobs, plan, tables_sent_by_name
from exporter.retry.unit_reader import UnitReader, read_whole_list
from exporter.retry.units import FAILED, NO_CONFIG, TableName, Unit
from exporter.runtime import gather_or_cancel

MAX_NEAR: Final = 300
"""Tables among which near names are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySelection:
    """What the user asked to migrate again."""

    failed: bool = False
    """Everything FAILED in the source."""
    tables: Sequence[str] = ()
    """TABLE, DATABASE.TABLE or table IDs."""
    partitions: Sequence[int] = ()
    jobs: Sequence[int] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is selected."""
        return not (self.failed or self.tables or self.partitions or self.jobs)


async def read_plan(
    client: Client,
    source_id: int,
    selection: RetrySelection,
    earlier: Callable[[], Awaitable[EarlierJobs]] | None = None,
) -> RetryPlan:
    """Read a selection from MMS and return its plan. Raises: MmsError; ConfigError if a table does not exist.

    `earlier` reads the jobs of earlier runs, which MMS may not list yet.
    """
    reader = _SelectionReader(client, source_id)
    if selection.failed:
        await reader.add_all()
    for text in selection.tables:
        await reader.add_table(text)
    if reader.unknown:
        raise ConfigError(*reader.unknown)
    await gather_or_cancel(map(reader.add_partition, selection.partitions))
    for job_id in selection.jobs:
        await reader.add_job(job_id)
    if not reader.wanted:
        return RetryPlan((), tuple(reader.refused))
    failed = await reader.failed_jobs()
    shared_names = await reader.shared_names()
    before = await earlier() if earlier else EarlierJobs()
    listed = await unfinished_jobs(client, source_id, ())
    # Listed jobs come first: Coverage keeps the first of two records of one job.
    unfinished = Coverage((*listed, *before.jobs))
    made = plan(reader.wanted, failed, unfinished, shared_names)
    over = blocking_jobs(reader.wanted, unfinished) if before.settles_in else set()
    settles_in = {job_id: before.settles_in[job_id] for job_id in over & before.settles_in.keys()}
    return replace(made, refused=(*reader.refused, *made.refused), settles_in=settles_in)


class _SelectionReader:
    """Collects the selected units of one source."""

    def __init__(self, client: Client, source_id: int) -> None:
        self._client = client
        self._source_id = source_id
        self._units = UnitReader(client, source_id)
        self.wanted: list[Wanted] = []
        self.refused: list[Refused] = []
        self.unknown: list[Problem] = []
        """Tables that do not exist."""

    async def add_all(self) -> None:
        """Add everything FAILED."""
        self.wanted += map(Wanted, await self._units.failed())

    async def add_table(self, text: str) -> None:
        """Add a table and its failed partitions."""
        named = [unit for unit in await self._tables_named(text) if unit.db and unit.table]
        rows = [unit for unit in named if unit.is_failed or unit.partitions_failed]
        if not named:
            self.unknown.append(Problem("--table", await self._unknown_table(text)))
            return
        reason = ""
        if len({unit.table_name for unit in rows}) > 1:
            reason = ambiguous_name("table", [(f"{unit.db}.{unit.table}", unit.id) for unit in rows])
        elif not rows and len({unit.table_name for unit in named}) > 1:
            reason = "no table of this name is FAILED, and none of its partitions"
        if reason:
            self.refused.append(Refused(f"table {text}", reason))
            return
        for table in rows or named:
            failed = await self._units.failed_partitions(table.db, table.table)
            self.wanted += [Wanted(table), *(Wanted(unit) for unit in failed if unit.table_id == table.id)]

    async def add_partition(self, number: int) -> None:
        """Add one partition."""
        unit = await self._units.find("partition", number)
        if unit is None:
            self.refused.append(Refused(f"partition {number}", "no partition has this ID"))
        else:
            self.wanted.append(Wanted(unit))

    async def add_job(self, number: int) -> None:
        """Add a failed job's FAILED units with its settings."""
        try:
            job = await self._client.send(protocol.get_mms_job(self._source_id, number))
        except NotFound:
            self.refused.append(Refused(f"job {number}", "no job has this ID"))
            return
        if job.status != FAILED:
            self.refused.append(Refused(f"job {number}", f"the status is {job.status or 'unknown'}, not FAILED"))
            return
        if not job.src_db_name:
            self.refused.append(Refused(f"job {number}", "MMS reports no database"))
            return
        scope = Coverage([job])
        covered = [unit for unit in await self._units.failed(job.src_db_name) if scope.newest_job(unit)]
        chosen = [unit for unit in covered if not _is_chosen_by_expression(job, unit)]
        if len(chosen) < len(covered):
            reason = "it selects partitions by filter expressions, which only MMS evaluates; use --partition or --table"
            self.refused.append(Refused(f"job {number}", reason))
        elif not covered:
            self.refused.append(Refused(f"job {number}", "nothing in its scope is FAILED now"))
        self.wanted += [Wanted(_with_job_destination(job, unit), job) for unit in chosen]

    async def failed_jobs(self) -> Coverage:
        """Return the failed jobs that provide settings, stopped ones included."""
        found: list[Job] = []
        for filters in (JobFilter(status=FAILED), JobFilter(stopped=1)):  # a list by status may hide stopped jobs
            page = partial(self._client.jobs_page, self._source_id, filters)
            found += await read_whole_list("ListMmsJobs", page)
        return Coverage(job for job in found if job.src_db_name and job.status == FAILED)

    async def shared_names(self) -> Collection[TableName]:
        """Return the names of selected tables that several tables have."""
        return await self._units.shared_names(tables_sent_by_name(self.wanted))

    async def _unknown_table(self, text: str) -> str:
        if table_id(text) is not None:
            return f"no table has ID {text}"
        if is_glob(text):
            return f"no table is named {text!r}; retry takes exact names, and `failed` lists them for a pattern"
        sample = await self._client.newest_tables(self._source_id, TableFilter(), MAX_NEAR)
        names = {f"{row.db_name}.{row.name}" if "." in text else row.name or "" for row in sample.rows}
        return unknown_name("table", text, names)

    async def _tables_named(self, text: str) -> list[Unit]:
        """Return the tables with this ID, TABLE or DATABASE.TABLE."""
        number = table_id(text)
        if number is None:
            found = [await self._units.tables_named(db, name) for db, name in table_names(text)]
            return [unit for units in found for unit in units]
        table = await self._units.find("table", number)
        return [] if table is None else [table]


def _is_chosen_by_expression(job: Job, unit: Unit) -> bool:
    """Return whether only a partition filter covers the unit."""
    config = job.config or NO_CONFIG
    filtered = {table.casefold() for table in config.partition_filters or ()}
    return (unit.table or "").casefold() in filtered and unit.id not in (config.partitions or ())


def _with_job_destination(job: Job, unit: Unit) -> Unit:
    """Return a unit with the destination of a job."""
    mapping = (job.config.table_mapping if job.config else None) or {}
    return structs.replace(
        unit,
        dst_project=job.dst_db_name or unit.dst_project,
        dst_schema=job.dst_schema_name or unit.dst_schema,
        dst_table=mapping.get(unit.table or "", unit.dst_table),
    )
