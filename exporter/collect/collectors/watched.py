"""The two kinds of watched objects, tables and partitions, and the state of one object."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from msgspec.structs import replace

from exporter.collect.snapshot import PartitionStats, SourceName, TableStats
from exporter.config.watch_sections import Watch
from exporter.mms.client import Client
from exporter.mms.decoding import Page
from exporter.mms.models.records import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like

Names = tuple[str | None, ...]
"""Database and table, and for a partition its value."""


@dataclass(frozen=True, slots=True)
class WatchKind:
    """Requests and conversions of one kind."""

    noun: str
    """Name of the kind in logs."""
    get_operation: str
    list_operation: str
    get: Callable[[Client, int, int], Awaitable[Any]]
    """Returns an object of a source by id. Raises: MmsError."""
    page: Callable[[Client, int, Names, int], Awaitable[Page[Any]]]
    """Returns a page, from 1, of objects of a source with similar names. Raises: MmsError."""
    names: Callable[[Any], Names]
    """Returns the names of a row."""
    stats: Callable[[SourceName, Any, float | None], TableStats | PartitionStats]
    """Returns the values of a row with its parsed DDL time."""


def _tables_page(client: Client, source_id: int, names: Names, page: int) -> Awaitable[Page[Table]]:
    db, table = (like(name or "") for name in names)
    return client.tables_page(source_id, TableFilter(db_name=db, name=table), page)


def _partitions_page(client: Client, source_id: int, names: Names, page: int) -> Awaitable[Page[Partition]]:
    db, table, value = (like(name or "") for name in names)
    return client.partitions_page(source_id, PartitionFilter(db_name=db, table_name=table, value=value), page)


TABLES: Final = WatchKind(
    noun="table",
    get_operation="GetMmsTable",
    list_operation="ListMmsTables",
    get=Client.get_table,
    page=_tables_page,
    names=attrgetter("db_name", "name"),
    stats=lambda name, row, last_ddl_at: TableStats(name, replace(row, schema=None), last_ddl_at),
)
PARTITIONS: Final = WatchKind(
    noun="partition",
    get_operation="GetMmsPartition",
    list_operation="ListMmsPartitions",
    get=Client.get_partition,
    page=_partitions_page,
    names=attrgetter("db_name", "table_name", "value"),
    stats=PartitionStats,
)


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
