"""What one CreateMmsJob migrates, and the request for it. Pure; a batch can be written down and read again as JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Self

import msgspec

from exporter.mms.models import Job, JobConfig
from exporter.mms.protocol import JobRequest
from exporter.retry.units import Unit

_NOTHING: Final = JobConfig()


class Frame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all units of a job have in common: where from, where to, and how. What is None is left to the service.

    UNVERIFIED: that an incremental job, over what is new or changed, takes on what failed and did not change since, as
    the job did that failed; a retry on a live account would settle it. Watching one tells: it asks whether all is DONE.
    """

    src_db: str
    src_schema: str | None = None
    dst_project: str | None = None
    dst_schema: str | None = None
    task_type: str | None = None
    schema_only: bool | None = None
    increment: bool | None = None
    enable_schema_migration: bool | None = None
    enable_data_migration: bool | None = None
    enable_verification: bool | None = None
    column_mapping: tuple[tuple[str, str], ...] | None = None

    @classmethod
    def of(cls, unit: Unit, job: Job | None, *, is_named: bool) -> Self:
        """Return the frame of a unit; `job` is the failed one that is tried again, where it is known.

        That the job left the data out is taken over only from one that a person named: what is DONE without its data is
        not what somebody wants who names what failed.
        """
        config = job.config or _NOTHING if job else _NOTHING
        columns = config.column_mapping
        return cls(
            src_db=unit.db or "",
            src_schema=job.src_schema_name if job else None,
            dst_project=unit.dst_project or (job.dst_db_name if job else None),
            dst_schema=unit.dst_schema or (job.dst_schema_name if job else None),
            task_type=config.task_type,
            schema_only=config.schema_only if is_named or not config.schema_only else None,
            increment=config.increment,
            enable_schema_migration=config.enable_schema_migration,
            enable_data_migration=config.enable_data_migration if is_named or config.enable_data_migration else None,
            enable_verification=config.enable_verification,
            column_mapping=tuple(sorted(columns.items())) if columns else None,
        )


class WholeTable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table of which all is migrated that is not done."""

    id: int
    name: str
    has_partitions: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job that is to be made: partitions by their ids, or whole tables by their names, of one database."""

    frame: Frame
    partitions: dict[str, tuple[int, ...]] = {}
    """Ids by the name of their table."""
    tables: tuple[WholeTable, ...] = ()
    renamed: dict[str, str] = {}
    """The destination's name of each table that is called otherwise there."""

    def request(self, name: str, source: str | None) -> JobRequest:
        """Return what is asked of MMS for it, under the job's name."""
        frame = self.frame
        return JobRequest(
            name=name,
            source_name=source,
            src_db_name=frame.src_db,
            src_schema_name=frame.src_schema,
            dst_db_name=frame.dst_project,
            dst_schema_name=frame.dst_schema,
            task_type=frame.task_type,
            partitions=tuple(self.partition_ids) or None,
            tables=tuple(table.name for table in self.tables) or None,
            table_mapping=self.renamed or None,
            schema_only=frame.schema_only,
            increment=frame.increment,
            enable_schema_migration=frame.enable_schema_migration,
            enable_data_migration=frame.enable_data_migration,
            enable_verification=frame.enable_verification,
            column_mapping=dict(frame.column_mapping) if frame.column_mapping else None,
        )

    @property
    def partition_ids(self) -> Iterator[int]:
        """Every partition's id."""
        return (number for numbers in self.partitions.values() for number in numbers)

    @property
    def size(self) -> int:
        """How many units it migrates."""
        return sum(map(len, self.partitions.values())) + len(self.tables)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to migrate."""
        return not self.size

    def units(self) -> Iterator[Unit]:
        """Yield what it migrates, as far as it is written down."""
        db = self.frame.src_db
        for name, numbers in self.partitions.items():
            for number in numbers:
                yield Unit(kind="partition", id=number, db=db, table=name, table_id=None)
        for table in self.tables:
            number, has_partitions = table.id, table.has_partitions
            yield Unit(kind="table", id=number, db=db, table=table.name, table_id=number, has_partitions=has_partitions)

    def without(self, is_left_out: Callable[[Unit], object]) -> "Batch":
        """Return it with only those units of which `is_left_out` says nothing."""
        return batch_of(self.frame, [unit for unit in self.units() if not is_left_out(unit)], self.renamed)


def batch_of(frame: Frame, units: Sequence[Unit], names: Mapping[str, str]) -> Batch:
    """Return the job that migrates `units`; `names` are their tables' at the destination, by name in the source."""
    partitions: dict[str, list[int]] = {}
    tables: list[WholeTable] = []
    for unit in units:
        table = unit.table or ""
        if unit.is_partition:
            partitions.setdefault(table, []).append(unit.id)
        else:
            tables.append(WholeTable(id=unit.id, name=table, has_partitions=unit.has_partitions))
    held = {*partitions, *(table.name for table in tables)}
    return Batch(
        frame=frame,
        partitions={table: tuple(numbers) for table, numbers in partitions.items()},
        tables=tuple(tables),
        renamed={table: name for table, name in names.items() if table in held and name != table},
    )
