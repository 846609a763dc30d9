"""Reads from MMS what was asked for by a person: all failures of a source, or tables, partitions and jobs by name.

Lists of unfinished jobs are read last, so that what somebody else begins meanwhile is seen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from exporter.errors import NotFound
from exporter.mms import protocol
from exporter.mms.client import Client
from exporter.mms.models import Job, JobConfig
from exporter.mms.protocol import JobFilter
from exporter.retry.coverage import Coverage
from exporter.retry.earlier_runs import EarlierJobs, no_earlier
from exporter.retry.failed_units import FailedUnitReader, whole
from exporter.retry.job_lookup import unfinished_jobs
from exporter.retry.planning import Refused, RetryPlan, Wanted, jobs_over, plan, sent_by_name
from exporter.retry.units import FAILED, TableName, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySelection:
    """What is to be migrated again, in a person's words."""

    failed: bool = False
    """All that failed in the source."""
    tables: Sequence[str] = ()
    """As DATABASE.TABLE, or ids."""
    partitions: Sequence[int] = ()
    jobs: Sequence[int] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not (self.failed or self.tables or self.partitions or self.jobs)


async def planned(
    client: Client,
    source_id: int,
    selection: RetrySelection,
    earlier: Callable[[], Awaitable[EarlierJobs]] = no_earlier,
) -> RetryPlan:
    """Return what is to be made for a selection. Raises: MmsError for what could not be read as a whole.

    `earlier` reads the jobs of earlier runs, which lists may not show yet.
    """
    reader = _Reader(client, source_id)
    if selection.failed:
        await reader.add_all()
    for text in selection.tables:
        await reader.add_table(text)
    await asyncio.gather(*map(reader.add_partition, selection.partitions))
    for job_id in selection.jobs:
        await reader.add_job(job_id)
    failed = await reader.failed_jobs() if reader.wanted else Coverage(())
    shared_names = await reader.shared_names()
    before = await earlier() if reader.wanted else EarlierJobs()
    listed = await unfinished_jobs(client, source_id, ()) if reader.wanted else []
    # Listed ones first: of two records of one job the first counts.
    unfinished = Coverage((*listed, *before.jobs))
    made = plan(reader.wanted, failed, unfinished, shared_names)
    over = jobs_over(reader.wanted, unfinished) if before.settles_in else set()
    settles_in = {job_id: before.settles_in[job_id] for job_id in over & before.settles_in.keys()}
    return replace(made, refused=(*reader.refused, *made.refused), settles_in=settles_in)


class _Reader:
    """Gathers what is wanted of one source."""

    def __init__(self, client: Client, source_id: int) -> None:
        self._client = client
        self._source_id = source_id
        self._inventory = FailedUnitReader(client, source_id)
        self.wanted: list[Wanted] = []
        self.refused: list[Refused] = []

    async def add_all(self) -> None:
        """Add all that failed."""
        self.wanted += map(Wanted, await self._inventory.failed())

    async def add_table(self, text: str) -> None:
        """Add a table with its failed partitions."""
        rows = [unit for unit in await self._tables_called(text) if unit.db and unit.table]
        if not rows:
            self.refused.append(Refused(f"table {text}", "there is none with this id, or of exactly this name"))
        for table in rows:
            failed = await self._inventory.failed_partitions(table.db, table.table)
            self.wanted += [Wanted(table), *(Wanted(unit) for unit in failed if unit.table_id == table.id)]

    async def add_partition(self, number: int) -> None:
        """Add one partition."""
        try:
            unit = await self._inventory.partition(number)
        except NotFound:
            self.refused.append(Refused(f"partition {number}", "there is none with this id"))
        else:
            self.wanted.append(Wanted(unit))

    async def add_job(self, number: int) -> None:
        """Add what failed of a failed job's scope, to be migrated as that job did."""
        try:
            job = await self._client.send(protocol.get_mms_job(self._source_id, number))
        except NotFound:
            self.refused.append(Refused(f"job {number}", "there is none with this id"))
            return
        if (job.status or "").upper() != FAILED or not job.src_db_name:
            status = job.status.upper() if job.status else "of unknown status"
            reason = f"it is {status}, not FAILED" if job.src_db_name else "MMS does not say its database"
            self.refused.append(Refused(f"job {number}", reason))
            return
        scope = Coverage([job])
        held = [unit for unit in await self._inventory.failed(job.src_db_name) if scope.job_of(unit)]
        chosen = [unit for unit in held if not _is_chosen_by_expression(job, unit)]
        if len(chosen) < len(held):
            reason = "it chooses partitions by expressions that only MMS can read; name those by --partition or --table"
            self.refused.append(Refused(f"job {number}", reason))
        elif not held:
            self.refused.append(Refused(f"job {number}", "nothing in its scope is FAILED now"))
        self.wanted += [Wanted(_as_in(job, unit), job) for unit in chosen]

    async def failed_jobs(self) -> Coverage:
        """Return the failed jobs whose database is known, for their settings."""
        listing = await whole(
            "ListMmsJobs", lambda page: self._client.jobs_page(self._source_id, JobFilter(status=FAILED), page)
        )
        return Coverage(job for job in listing if job.src_db_name)

    async def shared_names(self) -> Collection[TableName]:
        """Return the names, of tables that only a name can tell MMS, that are other tables' too."""
        return await self._inventory.shared_names(sent_by_name(self.wanted))

    async def _tables_called(self, text: str) -> list[Unit]:
        """Return the tables that a person's word means: by id, or exactly of this name."""
        if not (text.isascii() and text.isdigit()):
            db, _, name = text.partition(".")
            return await self._inventory.tables_called(db, name)
        try:
            return [await self._inventory.table(int(text))]
        except NotFound:
            return []


def _is_chosen_by_expression(job: Job, unit: Unit) -> bool:
    """Tell whether only an expression says that a unit is in a job's scope."""
    config = job.config or JobConfig()
    filtered = {table.casefold() for table in config.partition_filters or ()}
    return (unit.table or "").casefold() in filtered and unit.id not in (config.partitions or ())


def _as_in(job: Job, unit: Unit) -> Unit:
    """Return a unit that goes where a job had it go, as far as that says."""
    mapping = (job.config.table_mapping if job.config else None) or {}
    return structs.replace(
        unit,
        dst_project=job.dst_db_name or unit.dst_project,
        dst_schema=job.dst_schema_name or unit.dst_schema,
        dst_table=mapping.get(unit.table or "", unit.dst_table),
    )
