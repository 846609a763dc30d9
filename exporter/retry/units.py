"""The unit of migration: a partition or a whole table. Pure."""

from typing import Final, Literal

import msgspec

from exporter.mms.models import Partition, Table

FAILED: Final = "FAILED"
DONE: Final = "DONE"
TableName = tuple[str | None, str | None]
"""Database and table name."""


class Unit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A table or a partition. Kept small, because there may be 100,000."""

    kind: Literal["table", "partition"]
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
        return self.status is not None and self.status.upper() == FAILED

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
