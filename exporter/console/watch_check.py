"""The entries of `watch` in `check`: whether a selected data source, and the object in it, exist."""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from exporter.config.watch_sections import Watch, WatchedTables
from exporter.console.probes import NothingToProbeError, Watched, get_watched, is_in, watched_ids, watched_rows
from exporter.errors import NotFound
from exporter.mms.client import Client
from exporter.mms.models.names import unknown_name
from exporter.mms.models.records import DataSource, Partition, Table
from exporter.runtime import gather_or_cancel

MAX_IDS: Final = 10
"""IDs of an entry that are read, with one call each."""
Lookup = tuple[Literal["ok", "failed"], str, str]
"""Result, detail and advice."""


def entries(watch: Watch) -> Iterator[tuple[str, Watched]]:
    """Yield key and value of each entry."""
    yield from ((f"watch.tables[{index}]", each) for index, each in enumerate(watch.tables))
    yield from ((f"watch.partitions[{index}]", each) for index, each in enumerate(watch.partitions))


async def look_up(client: Client, entry: Watched, source: DataSource) -> Lookup:
    """Look up the objects of an entry. Raises: MmsError; NothingToProbeError."""
    return await (_look_up_ids if watched_ids(entry) else _look_up_name)(client, entry, source)


async def _look_up_ids(client: Client, entry: Watched, source: DataSource) -> Lookup:
    ids = watched_ids(entry)
    exist = await gather_or_cancel(_exists(client, entry, source, each) for each in ids[:MAX_IDS])
    missing = [str(each) for each, exists in zip(ids, exist, strict=False) if not exists]
    if missing:
        noun = "table" if isinstance(entry, WatchedTables) else "partition"
        detail = f"no {noun} of {source.name or source.id} has the ID {' or '.join(missing)}"
        return "failed", detail, "correct or remove the IDs"
    return "ok", "found" if len(ids) <= MAX_IDS else f"the first {MAX_IDS} of {len(ids):,} IDs are found", ""


async def _exists(client: Client, entry: Watched, source: DataSource, object_id: int) -> bool:
    try:
        await get_watched(client, source.id, entry, object_id)
    except NotFound:
        return False
    return True


async def _look_up_name(client: Client, entry: Watched, source: DataSource) -> Lookup:
    page = await watched_rows(client, source.id, entry)
    wanted = _full_name(entry.db, entry.table, getattr(entry, "partition", None))
    if wanted in map(_name_of, page.rows):
        return "ok", "found", ""
    if len(page.rows) < (page.total or 0):
        raise NothingToProbeError("the name is not on the first page of similar names")
    detail = f"no object of {source.name or source.id} has exactly the name {wanted}"
    return "failed", detail, "correct the names; they are case-sensitive"


def source_problem(
    entry: Watched, selected: Sequence[DataSource], listed: Sequence[DataSource]
) -> tuple[str, str] | None:
    """Return problem and advice if no account selects the source."""
    if any(is_in(entry, each) for each in selected):
        return None
    name = entry.source or str(entry.source_id)
    if any(is_in(entry, each) for each in listed):
        return f"{name!r} is not selected by `sources` of its account", "correct `sources`, or remove the entry"
    problem, _, advice = unknown_name("data source", name, [each.name for each in listed]).partition("; ")
    return f"{problem} in any account; each entry is looked up in all of them", advice


def _name_of(row: Table | Partition) -> str:
    if isinstance(row, Table):
        return _full_name(row.db_name, row.name)
    return _full_name(row.db_name, row.table_name, row.value)


def _full_name(db: str | None, table: str | None, partition: str | None = None) -> str:
    return f"{db}.{table}" if partition is None else f"{db}.{table}/{partition}"
