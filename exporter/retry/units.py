"""Units of migration, and the batch of units that one job migrates. Pure; the journal stores batches as JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, Self

import msgspec

from exporter.mms.models.records import Job, JobConfig, Partition, Table
from exporter.mms.protocol import JobRequest

FAILED: Final = "FAILED"
DONE: Final = "DONE"
NO_CONFIG: Final = JobConfig()
UnitKind = Literal["table", "partition"]
TableName = tuple[str | None, str | None]
"""Database and table name."""


class Unit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A table or a partition. Kept small, because there may be 100,000."""

    kind: UnitKind
    id: int
    db: str | None
    table: str | None
    """Name of the table, or of the partition's table."""
    table_id: int | None
    value: str | None = None
    """Partition value; None for a table."""
    status: str | None = None
    dst_project: str | None = None
    dst_schema: str | None = None
    dst_table: str | None = None
    has_partitions: bool = False
    """Of a table."""
    partitions_failed: int = 0
    """Failed partitions according to the table's row; 0 for a partition."""

    @property
    def is_partition(self) -> bool:
        """Whether it is a partition."""
        return self.kind == "partition"

    @property
    def table_name(self) -> TableName:
        """Database and table name."""
        return self.db, self.table

    @property
    def is_failed(self) -> bool:
        """Whether its status is FAILED."""
        return self.status == FAILED

    def __str__(self) -> str:
        """Return kind, ID, names and partition value."""
        names = ".".join(name for name in (self.db, self.table) if name)
        return " ".join(part for part in (self.kind, str(self.id), names, self.value) if part)


def table_unit(row: Table) -> Unit:
    """Return the unit of a table row."""
    return Unit(
        kind="table",
        id=row.id,
        db=row.db_name,
        table=row.name,
        table_id=row.id,
        status=row.status,
        dst_project=row.dst_project_name,
        dst_schema=row.dst_schema_name,
        dst_table=row.dst_name,
        has_partitions=bool(row.has_partitions),
        partitions_failed=row.partitions_failed or 0,
    )


def partition_unit(row: Partition) -> Unit:
    """Return the unit of a partition row."""
    return Unit(
        kind="partition",
        id=row.id,
        db=row.db_name,
        table=row.table_name,
        table_id=row.table_id,
        value=row.value,
        status=row.status,
        dst_project=row.dst_project_name,
        dst_schema=row.dst_schema_name,
        dst_table=row.dst_table_name,
    )


class JobTemplate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings that all units of a job share; None leaves one to MMS.

    UNVERIFIED: whether an incremental job also migrates units that failed and have not changed since. A retry on a live
    account would settle it. `--watch` detects it, because it checks that every unit is DONE.
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
        """Return the template of a unit with a job's settings."""
        config = job.config or NO_CONFIG if job else NO_CONFIG
        # Only a job that the user named may leave the data out: a schema-only retry would end DONE without data.
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
    """A table that a job migrates by name."""

    id: int
    name: str
    has_partitions: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The units of one job, all of one database."""

    template: JobTemplate = msgspec.field(name="frame")  # the key in journals
    partitions: dict[str, tuple[int, ...]] = {}
    """Partition IDs by table name."""
    tables: tuple[WholeTable, ...] = ()
    renamed: dict[str, str] = {}
    """Destination name by source name, for tables whose names differ."""

    def request(self, name: str, source: str | None) -> JobRequest:
        """Return the CreateMmsJob request with this job name."""
        template = self.template
        return JobRequest(
            name=name,
            source_name=source,
            src_db_name=template.src_db,
            src_schema_name=template.src_schema,
            dst_db_name=template.dst_project,
            dst_schema_name=template.dst_schema,
            task_type=template.task_type,
            partitions=tuple(self.partition_ids) or None,
            tables=tuple(table.name for table in self.tables) or None,
            table_mapping=self.renamed or None,
            schema_only=template.schema_only,
            increment=template.increment,
            enable_schema_migration=template.enable_schema_migration,
            enable_data_migration=template.enable_data_migration,
            enable_verification=template.enable_verification,
            column_mapping=dict(template.column_mapping) if template.column_mapping else None,
        )

    @property
    def partition_ids(self) -> Iterator[int]:
        """The IDs of all partitions."""
        return (number for numbers in self.partitions.values() for number in numbers)

    @property
    def size(self) -> int:
        """The number of units."""
        return sum(map(len, self.partitions.values())) + len(self.tables)

    def units(self) -> Iterator[Unit]:
        """Yield the units, with the fields that the journal stores."""
        db = self.template.src_db
        for name, numbers in self.partitions.items():
            for number in numbers:
                yield Unit(kind="partition", id=number, db=db, table=name, table_id=None)
        for table in self.tables:
            number, has_partitions = table.id, table.has_partitions
            yield Unit(kind="table", id=number, db=db, table=table.name, table_id=number, has_partitions=has_partitions)

    def without(self, is_excluded: Callable[[Unit], object]) -> "Batch":
        """Return a copy without the units that `is_excluded` selects."""
        return batch_of(self.template, [unit for unit in self.units() if not is_excluded(unit)], self.renamed)


def batch_of(template: JobTemplate, units: Sequence[Unit], names: Mapping[str, str]) -> Batch:
    """Return the batch of some units; `names` maps source to destination names."""
    partitions: dict[str, list[int]] = {}
    tables: list[WholeTable] = []
    for unit in units:
        table = unit.table or ""
        if unit.is_partition:
            partitions.setdefault(table, []).append(unit.id)
        else:
            tables.append(WholeTable(id=unit.id, name=table, has_partitions=unit.has_partitions))
    table_names = {*partitions, *(table.name for table in tables)}
    return Batch(
        template=template,
        partitions={table: tuple(numbers) for table, numbers in partitions.items()},
        tables=tuple(tables),
        renamed={table: name for table, name in names.items() if table in table_names and name != table},
    )
