"""The two kinds of watched objects, tables and partitions, and the state of one object."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from exporter.collect.snapshot import PartitionStats, SourceName, TableStats
from exporter.config.loading import Watch
from exporter.mms.client import Client
from exporter.mms.decoding import Page
from exporter.mms.models import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like
from exporter.mms.times import unix_seconds

Names = tuple[str | None, ...]
"""Database and table, and for a partition its value."""


class WatchKind(Protocol):
    """Requests and conversions of one kind."""

    @property
    def noun(self) -> str:
        """Name of the kind in logs."""

    @property
    def get_operation(self) -> str:
        """Operation that returns an object by id."""

    @property
    def list_operation(self) -> str:
        """Operation that finds objects by names."""

    async def get(self, client: Client, source_id: int, object_id: int) -> Any:  # noqa: ANN401 - the kind's record
        """Return an object by id. Raises: MmsError."""

    async def page(self, client: Client, source_id: int, names: Names, page: int) -> Page[Any]:
        """Return a page, from 1, of objects with similar names. Raises: MmsError."""

    def names(self, row: Any) -> Names:  # noqa: ANN401 - the kind's record
        """Return the names of an object."""

    def stats(self, row: Any, name: SourceName, zone: ZoneInfo) -> TableStats | PartitionStats:  # noqa: ANN401 - the kind's record
        """Return the values of an object."""


class Tables:
    """Watched tables."""

    noun = "table"
    get_operation = "GetMmsTable"
    list_operation = "ListMmsTables"

    async def get(self, client: Client, source_id: int, object_id: int) -> Table:
        """Return a table. Raises: MmsError."""
        return await client.get_table(source_id, object_id)

    async def page(self, client: Client, source_id: int, names: Names, page: int) -> Page[Table]:
        """Return a page of tables with similar names. Raises: MmsError."""
        db, table = (like(name or "") for name in names)
        return await client.tables_page(source_id, TableFilter(db_name=db, name=table), page)

    def names(self, row: Table) -> Names:
        """Return database and table."""
        return row.db_name, row.name

    def stats(self, row: Table, name: SourceName, zone: ZoneInfo) -> TableStats:
        """Return the values of a table."""
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


class Partitions:
    """Watched partitions."""

    noun = "partition"
    get_operation = "GetMmsPartition"
    list_operation = "ListMmsPartitions"

    async def get(self, client: Client, source_id: int, object_id: int) -> Partition:
        """Return a partition. Raises: MmsError."""
        return await client.get_partition(source_id, object_id)

    async def page(self, client: Client, source_id: int, names: Names, page: int) -> Page[Partition]:
        """Return a page of partitions with similar names. Raises: MmsError."""
        db, table, value = (like(name or "") for name in names)
        return await client.partitions_page(source_id, PartitionFilter(db_name=db, table_name=table, value=value), page)

    def names(self, row: Partition) -> Names:
        """Return database, table and value."""
        return row.db_name, row.table_name, row.value

    def stats(self, row: Partition, name: SourceName, zone: ZoneInfo) -> PartitionStats:
        """Return the values of a partition."""
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


TABLES: Final = Tables()
PARTITIONS: Final = Partitions()


@dataclass(frozen=True, slots=True)
class WatchTarget:
    """An object to watch, as configured."""

    kind: WatchKind
    source_id: int | None
    source: str | None
    """Name of the source; None if its id is given."""
    object_id: int | None
    names: Names
    """Empty if the id is given."""

    def __str__(self) -> str:
        """Return its name for logs."""
        return f"{self.kind.noun} {self.object_id if self.names == () else '/'.join(map(str, self.names))}"


@dataclass(slots=True)
class Watched:
    """State of a watched object."""

    target: WatchTarget
    source_id: int | None = None
    """Source it was last found in."""
    object_id: int | None = None
    """None until the names are resolved."""
    page: int = 1
    """Next page to search for the names."""
    ids_seen: set[int] = field(default_factory=set)
    """Object ids on earlier pages."""
    stats: TableStats | PartitionStats | None = None
    read_at: float = 0.0
    """Monotonic seconds."""
    is_missing: bool = False
    """Whether its absence was logged."""
    retry_at: float = 0.0
    """When to retry a missing object, in monotonic seconds."""

    def set_source(self, source_id: int) -> None:
        """Set its source; a different one resets the state."""
        if self.source_id != source_id:
            self.source_id, self.retry_at = source_id, 0.0
            self.reset()

    def reset(self) -> None:
        """Drop its values and restart the search for its names."""
        self.stats, self.object_id = None, self.target.object_id
        self.restart_search()

    def restart_search(self) -> None:
        """Restart the search at the first page."""
        self.page, self.ids_seen = 1, set()

    def rename_source(self, name: SourceName) -> None:
        """Update the name of its source."""
        if self.stats is not None and self.stats.name != name:
            self.stats = replace(self.stats, name=name)


def watch_targets(watch: Watch) -> Iterator[WatchTarget]:
    """Yield the objects to watch, one per id or name."""
    for tables in watch.tables:
        table_names = () if tables.table_ids else (tables.db, tables.table)
        for table_id in tables.table_ids or (None,):
            yield WatchTarget(TABLES, tables.source_id, tables.source, table_id, table_names)
    for partitions in watch.partitions:
        names = () if partitions.partition_ids else (partitions.db, partitions.table, partitions.partition)
        for partition_id in partitions.partition_ids or (None,):
            yield WatchTarget(PARTITIONS, partitions.source_id, partitions.source, partition_id, names)
