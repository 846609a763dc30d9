"""Plans the jobs of a run from failed units and unfinished jobs. Pure.

A job has one source database, one destination and one set of settings; units are grouped by these. A failed table
with failed partitions is migrated by partition IDs, because a job over its name would also migrate partitions that
were never tried. Settings come from the failed job that last covered the unit, else from MMS's defaults.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from exporter.mms.models.records import Job
from exporter.retry.coverage import Coverage, JournalJob
from exporter.retry.units import Batch, JobTemplate, TableName, Unit, batch_of

MAX_UNITS: Final = 1000
"""Partition IDs or table names per request. UNVERIFIED: the service's own limit; a live account would show it."""
MAX_SCOPE_BYTES: Final = 128 * 1024
"""Bytes of IDs and names in one request body."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A unit that the user selected."""

    unit: Unit
    job: Job | None = None
    """The failed job that the user named and whose settings are reused; None if none was named."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that the user selected and the plan leaves out."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The jobs to create."""

    batches: tuple[Batch, ...]
    refused: tuple[Refused, ...]
    tables: tuple[int, ...] = ()
    """IDs of FAILED tables that are migrated by partition IDs."""
    settles_in: Mapping[int, float] = field(default_factory=dict)
    """By ID of an ended job that blocks units: seconds until their statuses are reliable."""


def plan(
    wanted: Iterable[Wanted], failed: Coverage, unfinished: Coverage, shared_names: Collection[TableName] = ()
) -> RetryPlan:
    """Return the jobs for FAILED units, and the refused rest.

    `failed` provides settings, `unfinished` blocks units, `shared_names` are names of several tables of one database.
    """
    requested = list({(each.unit.kind, each.unit.id): each for each in wanted}.values())
    chosen = _without_tables_sent_by_ids(requested)
    counts = Counter(each.unit.table_name for each in chosen if not each.unit.is_partition)
    ambiguous = {*shared_names, *(name for name, count in counts.items() if count > 1)}
    groups: dict[tuple[str, JobTemplate], list[Unit]] = {}
    refused: list[Refused] = []
    for each in chosen:
        unit = each.unit
        reason = skip_reason(unit, unfinished)
        if not reason and not unit.is_partition and unit.table_name in ambiguous:
            reason = "several tables of this database have this name, so a job over the name would migrate all of them"
        if reason:
            refused.append(Refused(str(unit), reason))
            continue
        job = each.job or failed.settings_job(unit)
        template = JobTemplate.of(unit, job, is_named=each.job is not None)
        groups.setdefault((unit.kind, template), []).append(_with_table_mapping(unit, job))
    ordered = sorted(groups.items(), key=lambda group: (group[0][1].src_db, group[0][0]))
    batches = tuple(batch for (_, template), units in ordered for batch in _batches(template, units))
    return RetryPlan(batches, tuple(refused), tuple(_tables_sent_by_ids(requested, chosen)))


def _tables_sent_by_ids(wanted: Iterable[Wanted], chosen: Iterable[Wanted]) -> list[int]:
    by_name = {each.unit.id for each in chosen if not each.unit.is_partition}
    tables = (each.unit for each in wanted if not each.unit.is_partition and each.unit.is_failed)
    return [table.id for table in tables if table.id not in by_name]


def blocking_jobs(wanted: Sequence[Wanted], unfinished: Coverage) -> set[int]:
    """Return the IDs of the jobs that block FAILED units."""
    units = (each.unit for each in _without_tables_sent_by_ids(wanted) if each.unit.is_failed)
    return {job.id for unit in units if (job := unfinished.overlapping_job(unit)) is not None}


def tables_sent_by_name(wanted: Sequence[Wanted]) -> Iterator[Unit]:
    """Yield the selected FAILED tables that are migrated by name."""
    for each in _without_tables_sent_by_ids(wanted):
        if not each.unit.is_partition and each.unit.is_failed:
            yield each.unit


def skip_reason(unit: Unit, unfinished: Coverage) -> str | None:
    """Return why a unit is not migrated; None if it is."""
    if not unit.is_failed:
        return f"the status is {unit.status}, not FAILED" if unit.status else "MMS reports no status"
    if not unit.db or not unit.table:
        return "MMS reports no database or no table"
    if unit.partitions_failed:
        return f"{unit.partitions_failed:,} of its partitions failed, but MMS lists none of them; try again"
    return blocking_reason(unit, unfinished)


def blocking_reason(unit: Unit, unfinished: Coverage) -> str | None:
    """Return why an unfinished job blocks a unit; None if none does."""
    job = unfinished.overlapping_job(unit)
    if job is None:
        return None
    state = f"is {job.status or 'unfinished'}{' and stopped' if job.stopped else ''}, and may migrate the same data"
    return f"job {job.id} ({job.name or 'without a name'}) {job.state if isinstance(job, JournalJob) else state}"


def _without_tables_sent_by_ids(wanted: Iterable[Wanted]) -> list[Wanted]:
    chosen = list(wanted)
    by_ids = {each.unit.table_id for each in chosen if each.unit.is_partition and each.unit.is_failed}
    return [each for each in chosen if each.unit.is_partition or each.unit.id not in by_ids]


def _with_table_mapping(unit: Unit, job: Job | None) -> Unit:
    """Return a unit with its destination table."""
    mapping = job.config.table_mapping if job and job.config else None
    if unit.dst_table or not mapping or not unit.table:
        return unit
    return msgspec.structs.replace(unit, dst_table=mapping.get(unit.table))


def _batches(template: JobTemplate, units: Sequence[Unit]) -> Iterator[Batch]:
    """Yield batches within the limits, for units of one template."""
    packed: list[Unit] = []
    names: dict[str, str] = {}
    size = 0
    for unit in sorted(units, key=lambda unit: (unit.table or "", unit.dst_table or "", unit.id)):
        table = unit.table or ""
        name = unit.dst_table or table
        length = _length(unit, name, names)
        is_full = len(packed) == MAX_UNITS or size + length > MAX_SCOPE_BYTES
        if packed and (is_full or names.get(table, name) != name):
            yield batch_of(template, packed, names)
            packed, names, size = [], {}, 0
            length = _length(unit, name, names)
        packed.append(unit)
        names[table] = name
        size += length
    if packed:
        yield batch_of(template, packed, names)


def _length(unit: Unit, name: str, names: Mapping[str, str]) -> int:
    """Return the bytes that a unit adds to a request."""
    table = unit.table or ""
    mapped = 0 if name == table or table in names else _quoted(table) + _quoted(name)
    return mapped + (len(str(unit.id)) + 1 if unit.is_partition else _quoted(table))


def _quoted(text: str) -> int:
    return len(msgspec.json.encode(text)) + 1
