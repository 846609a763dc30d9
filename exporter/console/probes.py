"""One cheap call for each operation that a configuration uses."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.config.loading import Config, WatchedPartitions, WatchedTables
from exporter.mms.client import Client
from exporter.mms.models import DataSource
from exporter.mms.protocol import JobFilter, PartitionFilter, TableFilter, TaskFilter, like

Call = Callable[[Client], Awaitable[Any]]
Watched = WatchedTables | WatchedPartitions
FAILED = ("FAILED",)


class NothingToProbeError(Exception):
    """No object exists to call an operation with; the text names it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The test call of one operation."""

    operation: str
    policy: str
    """File in deploy/ram that grants the operation."""
    call: Call
    """Raises: MmsError; NothingToAskError."""


def probes(config: Config, sources: Sequence[DataSource] | None) -> list[Probe]:
    """Return a probe per operation; `sources` is None if the listing failed."""
    found: dict[str, Probe] = {}
    for probe in _all(config, sources):
        found.setdefault(probe.operation, probe)
    return list(found.values())


def _all(config: Config, sources: Sequence[DataSource] | None) -> Iterator[Probe]:
    def on_first(operation: str, policy: str, call: Callable[[Client, int], Awaitable[Any]]) -> Probe:
        if not sources:
            return Probe(operation, policy, _no_object("no data source is selected"))
        return Probe(operation, policy, lambda client: call(client, sources[0].id))

    if config.jobs.enabled:
        yield on_first("ListMmsJobs", "read", lambda client, source: client.jobs_page(source, JobFilter(), 1, 1))
    if config.failures.enabled:
        tables, partitions = TableFilter(status=FAILED), PartitionFilter(status=FAILED)
        yield on_first("ListMmsTables", "failures", lambda client, source: client.tables_page(source, tables, 1))
        yield on_first(
            "ListMmsPartitions", "failures", lambda client, source: client.partitions_page(source, partitions, 1)
        )
    watched: tuple[Watched, ...] = (*config.watch.tables, *config.watch.partitions)
    for entry in watched:
        source = next((each for each in sources or () if _is_in(entry, each)), None)
        if source is not None or sources is None:
            yield from _watching(entry, source)
    if config.tasks.enabled:
        yield on_first("ListMmsTasks", "tasks", lambda client, source: client.tasks_page(source, TaskFilter(), 1, 1))


def _is_in(entry: Watched, source: DataSource) -> bool:
    return entry.source_id == source.id if entry.source is None else entry.source == source.name


def _watching(entry: Watched, source: DataSource | None) -> Iterator[Probe]:
    """Yield the probes of one entry of `watch` in `source`."""
    source_id = source.id if source else 0
    ids = entry.table_ids if isinstance(entry, WatchedTables) else entry.partition_ids
    noun = "Table" if isinstance(entry, WatchedTables) else "Partition"
    if not ids:
        yield Probe(f"ListMms{noun}s", "watch", lambda client: _rows(client, source_id, entry))

    async def get(client: Client) -> None:
        object_id = ids[0] if ids else await _looked_up(client, source_id, entry)
        if noun == "Table":
            await client.get_table(source_id, object_id)
        else:
            await client.get_partition(source_id, object_id)

    yield Probe(f"GetMms{noun}", "watch", get)


async def _rows(client: Client, source_id: int, entry: Watched) -> Sequence[Any]:
    """Return loose matches for the names of an entry. Raises: MmsError."""
    db, table = like(entry.db or ""), like(entry.table or "")
    if isinstance(entry, WatchedTables):
        return (await client.tables_page(source_id, TableFilter(db_name=db, name=table), 1)).rows
    value = like(entry.partition or "")
    return (await client.partitions_page(source_id, PartitionFilter(db_name=db, table_name=table, value=value), 1)).rows


async def _looked_up(client: Client, source_id: int, entry: Watched) -> int:
    """Return the ID of any loose match; the permission is the same."""
    rows = await _rows(client, source_id, entry)
    if not rows:
        raise NothingToProbeError("no object has the watched names")
    return int(rows[0].id)


def _no_object(reason: str) -> Call:
    async def call(_: Client) -> None:
        raise NothingToProbeError(reason)

    return call
