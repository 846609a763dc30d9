"""The entries of `watch` in `check`: whether a selected data source, and the object in it, exist."""

from collections.abc import Iterator, Sequence

from exporter.config.loading import Watch
from exporter.console.probes import NothingToProbeError, Watched, is_in, watched_rows
from exporter.mms.client import Client
from exporter.mms.models.names import unknown_name
from exporter.mms.models.records import DataSource, Partition, Table


def entries(watch: Watch) -> Iterator[tuple[str, Watched]]:
    """Yield key and value of each entry."""
    yield from ((f"watch.tables[{index}]", each) for index, each in enumerate(watch.tables))
    yield from ((f"watch.partitions[{index}]", each) for index, each in enumerate(watch.partitions))


async def object_problem(client: Client, entry: Watched, source: DataSource) -> str:
    """Return why a watched name is not found; "" if it is, or for IDs. Raises: MmsError; NothingToProbeError."""
    if entry.db is None:
        return ""
    page = await watched_rows(client, source.id, entry)
    wanted = _full_name(entry.db, entry.table, getattr(entry, "partition", None))
    if wanted in map(_name_of, page.rows):
        return ""
    if len(page.rows) < (page.total or 0):
        raise NothingToProbeError("the name is not on the first page of similar names")
    return f"no object of {source.name or source.id} has exactly the name {wanted}"


def source_problem(entry: Watched, sources: Sequence[DataSource]) -> tuple[str, str] | None:
    """Return problem and advice if no account selects the data source of an entry."""
    if any(is_in(entry, each) for each in sources):
        return None
    name = entry.source or str(entry.source_id)
    problem, _, advice = unknown_name("data source", name, [each.name for each in sources]).partition("; ")
    return f"{problem} in any account; each entry is looked up in all of them", advice


def _name_of(row: Table | Partition) -> str:
    if isinstance(row, Table):
        return _full_name(row.db_name, row.name)
    return _full_name(row.db_name, row.table_name, row.value)


def _full_name(db: str | None, table: str | None, partition: str | None = None) -> str:
    return f"{db}.{table}" if partition is None else f"{db}.{table}/{partition}"
