"""What is migrated in one piece, as `retry` sees it: a partition, or a table as a whole. Pure."""

from typing import Final, Literal

import msgspec

from exporter.mms.models import Partition, Table

FAILED: Final = "FAILED"
DONE: Final = "DONE"
TableName = tuple[str | None, str | None]
"""A table's database and its name."""


class Unit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A table or a partition, with what a job needs to know of it; kept small, since there can be 100,000."""

    kind: Literal["table", "partition"]
    id: int
    db: str | None
    table: str | None
    """The table's name, or that of the partition's table."""
    table_id: int | None
    value: str | None = None
    """Of a partition."""
    status: str | None = None
    dst_project: str | None = None
    dst_schema: str | None = None
    dst_table: str | None = None
    has_partitions: bool = False
    """Of a table."""
    partitions_failed: int = 0
    """Of a table, as its row counts them."""

    @property
    def is_partition(self) -> bool:
        """Whether it is a partition."""
        return self.kind == "partition"

    @property
    def table_name(self) -> TableName:
        """The table's database and its name."""
        return self.db, self.table

    @property
    def is_failed(self) -> bool:
        """Whether MMS says that it failed."""
        return self.status is not None and self.status.upper() == FAILED

    def __str__(self) -> str:
        """Return what people call it."""
        names = ".".join(name for name in (self.db, self.table) if name)
        return " ".join(part for part in (self.kind, str(self.id), names, self.value) if part)


def table_unit(row: Table) -> Unit:
    """Return a table as a whole."""
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
    """Return a partition."""
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
