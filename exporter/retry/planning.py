"""What failed and what is under way -> which jobs are to be made, and what is refused. Pure.

A job has one source database, one destination and one way to migrate, so units are grouped by those. A failed table
with failed partitions is migrated by the ids of these: a job over the table's name would migrate also the partitions
that were never tried. The way (task type, options, columns) is that of the failed job that last had the unit in its
scope, and goes where the unit goes; where no such job is known it is left out, and the service's defaults hold.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from exporter.mms.models import Job
from exporter.retry.batches import Batch, Frame, batch_of
from exporter.retry.coverage import Coverage
from exporter.retry.units import TableName, Unit

MAX_UNITS: Final = 1000
"""Partition ids, or table names, of one request. UNVERIFIED: the service's own bound; a live account would tell it."""
MAX_SCOPE_BYTES: Final = 128 * 1024
"""Of the ids and names in one request's body."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A unit that is to be migrated again."""

    unit: Unit
    job: Job | None = None
    """The failed job that was named for it, whose settings it takes; None where it was not named by a job."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for and is not migrated."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What is to be made."""

    batches: tuple[Batch, ...]
    refused: tuple[Refused, ...]
    tables: tuple[int, ...] = ()
    """Ids of the FAILED tables that are migrated by the ids of their partitions."""
    settles_in: Mapping[int, float] = field(default_factory=dict)
    """Jobs that ended and whose units are refused for now, with the seconds until their statuses count."""


def plan(
    wanted: Iterable[Wanted], failed: Coverage, unfinished: Coverage, shared_names: Collection[TableName] = ()
) -> RetryPlan:
    """Return the jobs that migrate what is wanted and failed, and what of it is refused.

    `failed` are failed jobs, for their settings; `unfinished` those in whose way nobody may get; `shared_names` those
    that several tables of one database have.
    """
    asked = list({(each.unit.kind, each.unit.id): each for each in wanted}.values())
    things = _without_tables_by_ids(asked)
    counts = Counter(each.unit.table_name for each in things if not each.unit.is_partition)
    ambiguous = {*shared_names, *(name for name, count in counts.items() if count > 1)}
    groups: dict[tuple[str, Frame], list[Unit]] = {}
    refused: list[Refused] = []
    for each in things:
        unit = each.unit
        reason = why_not(unit, unfinished)
        if not reason and not unit.is_partition and unit.table_name in ambiguous:
            reason = "MMS lists several tables of this name in this database; only it can tell which one a name means"
        if reason:
            refused.append(Refused(str(unit), reason))
            continue
        job = each.job or failed.settings_of(unit)
        frame = Frame.of(unit, job, is_named=each.job is not None)
        groups.setdefault((unit.kind, frame), []).append(_placed(unit, job))
    ordered = sorted(groups.items(), key=lambda group: (group[0][1].src_db, group[0][0]))
    batches = tuple(batch for (_, frame), units in ordered for batch in _batches(frame, units))
    return RetryPlan(batches, tuple(refused), tuple(_tables_by_ids(asked, things)))


def _tables_by_ids(wanted: Iterable[Wanted], things: Iterable[Wanted]) -> list[int]:
    """Return the ids of the FAILED tables that are wanted and not among the things to migrate."""
    by_name = {each.unit.id for each in things if not each.unit.is_partition}
    tables = (each.unit for each in wanted if not each.unit.is_partition and each.unit.is_failed)
    return [table.id for table in tables if table.id not in by_name]


def jobs_over(wanted: Sequence[Wanted], unfinished: Coverage) -> set[int]:
    """Return the ids of the jobs that keep FAILED units from being migrated."""
    units = (each.unit for each in _without_tables_by_ids(wanted) if each.unit.is_failed)
    return {job.id for unit in units if (job := unfinished.job_beside(unit)) is not None}


def sent_by_name(wanted: Sequence[Wanted]) -> Iterator[Unit]:
    """Yield the tables, of what is wanted, that a job can have only by their names."""
    for each in _without_tables_by_ids(wanted):
        if not each.unit.is_partition and each.unit.is_failed:
            yield each.unit


def why_not(unit: Unit, unfinished: Coverage) -> str | None:
    """Return why a unit is not migrated again; None where it may be."""
    if not unit.is_failed:
        return f"it is {unit.status.upper()}, not FAILED" if unit.status else "MMS does not say its status"
    if not unit.db or not unit.table:
        return "MMS does not say its database or its table"
    if unit.partitions_failed:
        return f"{unit.partitions_failed:,} of its partitions failed, and MMS lists none of them; try again"
    return taken_by(unit, unfinished)


def taken_by(unit: Unit, unfinished: Coverage) -> str | None:
    """Return which unfinished job has a unit in its scope, as a reason to leave it alone; None where none has."""
    job = unfinished.job_beside(unit)
    if job is None:
        return None
    state = f"{job.status or 'unfinished'}{' and stopped' if job.stopped else ''}"
    return f"job {job.id} ({job.name or 'without a name'}) is {state}, and may migrate it"


def _without_tables_by_ids(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Return what is wanted without the tables that are migrated by the ids of their failed partitions."""
    things = list(wanted)
    by_ids = {each.unit.table_id for each in things if each.unit.is_partition and each.unit.is_failed}
    return [each for each in things if each.unit.is_partition or each.unit.id not in by_ids]


def _placed(unit: Unit, job: Job | None) -> Unit:
    """Return a unit with its table's name at the destination: as MMS has it, else as the failed job had it."""
    mapping = job.config.table_mapping if job and job.config else None
    if unit.dst_table or not mapping or not unit.table:
        return unit
    return msgspec.structs.replace(unit, dst_table=mapping.get(unit.table))


def _batches(frame: Frame, units: Sequence[Unit]) -> Iterator[Batch]:
    """Yield the jobs that migrate units of one frame, each within its bounds."""
    packed: list[Unit] = []
    names: dict[str, str] = {}
    size = 0
    for unit in sorted(units, key=lambda unit: (unit.table or "", unit.dst_table or "", unit.id)):
        table = unit.table or ""
        name = unit.dst_table or table
        length = _length(unit, name, names)
        is_full = len(packed) == MAX_UNITS or size + length > MAX_SCOPE_BYTES
        if packed and (is_full or names.get(table, name) != name):
            yield batch_of(frame, packed, names)
            packed, names, size = [], {}, 0
            length = _length(unit, name, names)
        packed.append(unit)
        names[table] = name
        size += length
    if packed:
        yield batch_of(frame, packed, names)


def _length(unit: Unit, name: str, names: Mapping[str, str]) -> int:
    """Return by how many bytes a unit lengthens a request; `names` are the tables' that are in it already."""
    table = unit.table or ""
    mapped = 0 if name == table or table in names else _quoted(table) + _quoted(name)
    return mapped + (len(str(unit.id)) + 1 if unit.is_partition else _quoted(table))


def _quoted(text: str) -> int:
    return len(msgspec.json.encode(text)) + 1
