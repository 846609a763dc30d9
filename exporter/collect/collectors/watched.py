"""The two kinds of things that can be watched, tables and partitions: how each is asked for, found and shown."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from exporter.collect.snapshot import PartitionStats, SourceName, TableStats
from exporter.config.loading import Watch
from exporter.mms.client import Client
from exporter.mms.decoding import Page
from exporter.mms.models import PARTITION_STATUSES, TABLE_STATUSES, Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like
from exporter.mms.times import unix_seconds

Names = tuple[str | None, ...]
"""Database and table; and the value, of a partition."""


class Kind(Protocol):
    """One of the two kinds."""

    @property
    def noun(self) -> str:
        """What one is called."""

    @property
    def get_operation(self) -> str:
        """What returns one."""

    @property
    def list_operation(self) -> str:
        """What finds one by its names."""

    async def get(self, client: Client, source_id: int, object_id: int) -> Any:  # noqa: ANN401 - the kind's record
        """Return one. Raises: MmsError."""

    async def page(self, client: Client, source_id: int, names: Names, page: int) -> Page[Any]:
        """Return one page, from 1, of those whose names match loosely. Raises: MmsError."""

    def names(self, row: Any) -> Names:  # noqa: ANN401 - the kind's record
        """Return what one is called."""

    def figures(self, row: Any, name: SourceName, zone: ZoneInfo) -> TableStats | PartitionStats:  # noqa: ANN401 - the kind's record
        """Return what is shown of one."""

    def knows_status(self, status: str) -> bool:
        """Tell whether a status, in upper case, is one of its kind."""


class Tables:
    """Watched tables."""

    noun = "table"
    get_operation = "GetMmsTable"
    list_operation = "ListMmsTables"

    async def get(self, client: Client, source_id: int, object_id: int) -> Table:
        """Return a table. Raises: MmsError."""
        return await client.get_table(source_id, object_id)

    async def page(self, client: Client, source_id: int, names: Names, page: int) -> Page[Table]:
        """Return one page of those whose names match loosely. Raises: MmsError."""
        db, table = (like(name or "") for name in names)
        return await client.tables_page(source_id, TableFilter(db_name=db, name=table), page)

    def names(self, row: Table) -> Names:
        """Return what a table is called."""
        return row.db_name, row.name

    def figures(self, row: Table, name: SourceName, zone: ZoneInfo) -> TableStats:
        """Return what is shown of a table."""
        return TableStats(
            name=name,
            table_id=row.id,
            src_db=row.db_name,
            table=row.name,
            status=row.status,
            partitions_doing=row.partitions_doing,
            partitions_done=row.partitions_done,
            partitions_failed=row.partitions_failed,
            metadata_partitions=row.partitions,
            size_bytes=row.size,
            rows=row.num_rows,
            last_ddl_at=unix_seconds(row.last_ddl_time, zone),
        )

    def knows_status(self, status: str) -> bool:
        """Tell whether tables are known to be in such a state."""
        return status in TABLE_STATUSES


class Partitions:
    """Watched partitions."""

    noun = "partition"
    get_operation = "GetMmsPartition"
    list_operation = "ListMmsPartitions"

    async def get(self, client: Client, source_id: int, object_id: int) -> Partition:
        """Return a partition. Raises: MmsError."""
        return await client.get_partition(source_id, object_id)

    async def page(self, client: Client, source_id: int, names: Names, page: int) -> Page[Partition]:
        """Return one page of those whose names and value match loosely. Raises: MmsError."""
        db, table, value = (like(name or "") for name in names)
        return await client.partitions_page(source_id, PartitionFilter(db_name=db, table_name=table, value=value), page)

    def names(self, row: Partition) -> Names:
        """Return what a partition is called."""
        return row.db_name, row.table_name, row.value

    def figures(self, row: Partition, name: SourceName, zone: ZoneInfo) -> PartitionStats:
        """Return what is shown of a partition."""
        return PartitionStats(
            name=name,
            partition_id=row.id,
            src_db=row.db_name,
            table=row.table_name,
            partition=row.value,
            status=row.status,
            size_bytes=row.size,
            rows=row.num_rows,
            last_ddl_at=unix_seconds(row.last_ddl_time, zone),
        )

    def knows_status(self, status: str) -> bool:
        """Tell whether partitions are known to be in such a state."""
        return status in PARTITION_STATUSES


TABLES: Final = Tables()
PARTITIONS: Final = Partitions()


@dataclass(frozen=True, slots=True)
class WatchTarget:
    """One thing to be watched, as the configuration names it."""

    kind: Kind
    source_id: int | None
    source: str | None
    """The source's name, where its id is not given."""
    object_id: int | None
    names: Names
    """Where its id is not given."""

    def __str__(self) -> str:
        """Return how a person would name it."""
        return f"{self.kind.noun} {self.object_id if self.names == () else '/'.join(map(str, self.names))}"


@dataclass(slots=True)
class Watched:
    """One thing that is watched, and what is known of it."""

    target: WatchTarget
    source_id: int | None = None
    """The source it was last seen in."""
    object_id: int | None = None
    """None until its names are resolved."""
    page: int = 1
    """The next page on which to look for its names."""
    ids_seen: set[int] = field(default_factory=set)
    """On the pages before."""
    figures: TableStats | PartitionStats | None = None
    read_at: float = 0.0
    """When the figures were read, in monotonic seconds."""
    is_missing: bool = False
    """Whether it was said that it does not exist."""
    retry_at: float = 0.0
    """When to ask again for what is missing, in monotonic seconds."""

    def place_in(self, source_id: int) -> None:
        """Note in which source it is; in another than before, nothing of what was known holds."""
        if self.source_id != source_id:
            self.source_id, self.retry_at = source_id, 0.0
            self.forget()

    def forget(self) -> None:
        """Note that it is gone; one that was named is looked for from the start."""
        self.figures, self.object_id = None, self.target.object_id
        self.search_again()

    def search_again(self) -> None:
        """Begin again with the first page."""
        self.page, self.ids_seen = 1, set()

    def rename_source(self, name: SourceName) -> None:
        """Note what its source is called now."""
        if self.figures is not None and self.figures.name != name:
            self.figures = replace(self.figures, name=name)


def targets(watch: Watch) -> Iterator[WatchTarget]:
    """Yield what is to be watched, one by one."""
    for each in watch.tables:
        names = () if each.table_ids else (each.db, each.table)
        for table_id in each.table_ids or (None,):
            yield WatchTarget(TABLES, each.source_id, each.source, table_id, names)
    for entry in watch.partitions:
        places = () if entry.partition_ids else (entry.db, entry.table, entry.partition)
        for partition_id in entry.partition_ids or (None,):
            yield WatchTarget(PARTITIONS, entry.source_id, entry.source, partition_id, places)
