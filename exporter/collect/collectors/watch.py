"""The collector of watched tables and partitions: GetMmsTable, GetMmsPartition -> TableStats, PartitionStats.

Names are resolved to ids once, so renamed objects are followed. A missing object is logged once and retried later.
"""

from collections.abc import Iterator
from typing import Any, Final

from exporter.collect.collector import CollectorContext
from exporter.collect.collectors.watched import Watched, watch_targets
from exporter.collect.snapshot import PartitionStats, TableStats
from exporter.collect.state.source_state import SourceState
from exporter.config.watch_sections import Watch
from exporter.errors import UNAVAILABLE, ExporterError, NotFound
from exporter.mms.listing import MAX_PAGES
from exporter.mms.models.statuses import is_unknown
from exporter.mms.models.times import unix_seconds

RETRY_SECONDS: Final = 600.0
"""Interval between attempts to find a missing object."""
PAGES_PER_REFRESH: Final = 5
"""Limit of pages of loose matches that one refresh searches for a name; the next refresh continues."""


class WatchCollector:
    """The collector of the watched objects of one account."""

    name = "watch"

    def __init__(self, context: CollectorContext, watch: Watch, *, is_alone: bool) -> None:
        self._context = context
        # With several accounts or shards, a missing source most likely belongs to another one.
        self._log_missing = context.log.warning if is_alone else context.log.info
        self._permissions = context.permissions(self.name)
        self._watched = [Watched(target, object_id=target.object_id) for target in dict.fromkeys(watch_targets(watch))]

    def inherit_from(self, previous: "WatchCollector") -> None:
        """Take over the state of the same objects in known sources."""
        sources = self._context.sources.by_id
        found = (each for each in previous._watched if each.stats is not None)  # noqa: SLF001 - same class
        known = {each.target: each for each in found if each.source_id in sources}
        self._watched = [known.get(each.target, each) for each in self._watched]

    async def collect(self) -> list[ExporterError]:
        """Read all watched objects, least recently read first."""
        started = self._context.clock.monotonic()
        pending = sorted(self._watched, key=lambda watched: watched.read_at)
        errors = await self._context.fan_out.for_each(pending, self._read)
        self._permissions.remove_expired(started)
        return [*errors, *self._permissions.errors]

    def skip(self) -> None:
        """Do nothing: watched objects have no success flag."""

    def note_reload(self) -> None:
        """Retry refused operations and missing objects."""
        self._permissions.clear()
        for watched in self._watched:
            watched.retry_at = 0.0

    def read_at(self) -> Iterator[float]:
        """Yield when each watched object was read."""
        return (watched.read_at for watched in self._watched if watched.stats is not None)

    def tables(self, oldest: float) -> tuple[TableStats, ...]:
        """Return the watched tables read since `oldest`."""
        return tuple(stats for stats in self._fresh(oldest) if isinstance(stats, TableStats))

    def partitions(self, oldest: float) -> tuple[PartitionStats, ...]:
        """Return the watched partitions read since `oldest`."""
        return tuple(stats for stats in self._fresh(oldest) if isinstance(stats, PartitionStats))

    def _fresh(self, oldest: float) -> Iterator[TableStats | PartitionStats]:
        """Yield each object once, even if several entries match it."""
        # A duplicate series would make every scrape fail.
        fresh: dict[tuple[type, int, int], TableStats | PartitionStats] = {}
        for watched in self._watched:
            if watched.stats is not None and watched.read_at >= oldest:
                stats = watched.stats
                fresh.setdefault((type(stats), stats.name.source_id, stats.row.id), stats)
        return iter(fresh.values())

    async def _read(self, watched: Watched) -> None:
        """Read one object. Raises: MmsError, but not for a refused permission."""
        source = self._source_of(watched)
        if source is None:
            if self._context.sources.is_complete:
                self._mark_missing(watched, "no data source that the account selects has this name or ID")
                watched.retry_at = 0.0  # checking for the source costs no call
            return
        watched.set_source(source.name.source_id)
        watched.rename_source(source.name)
        if watched.is_missing and self._context.clock.monotonic() < watched.retry_at:
            return
        try:
            if watched.object_id is None:
                await self._resolve(watched, source.name.source_id)
            if watched.object_id is not None:
                await self._get(watched, source, watched.object_id)
        except NotFound:
            self._mark_missing(watched, "no object has this id")
        except UNAVAILABLE:
            pass

    def _source_of(self, watched: Watched) -> SourceState | None:
        """Return the source of a watched object, by last known id first."""
        target, known = watched.target, self._context.sources.by_id
        if target.source_id is not None:
            return known.get(target.source_id)
        if watched.source_id in known:
            return known[watched.source_id]
        return next((source for source in known.values() if source.name.source == target.source), None)

    def _mark_missing(self, watched: Watched, reason: str) -> None:
        watched.reset()
        watched.retry_at = self._context.clock.monotonic() + RETRY_SECONDS
        if not watched.is_missing:
            target = watched.target
            source = target.source if target.source_id is None else target.source_id
            self._log_missing("watched object not found", watched=str(target), data_source=source, reason=reason)
        watched.is_missing = True

    async def _resolve(self, watched: Watched, source_id: int) -> None:
        """Search the id of a named object, PAGES_PER_REFRESH pages at most. Raises: MmsError."""
        kind, names = watched.target.kind, watched.target.names
        for _ in range(PAGES_PER_REFRESH):
            page = await self._permissions.call(
                kind.list_operation, lambda: kind.page(self._context.client, source_id, names, watched.page)
            )
            found = [row.id for row in page.rows if kind.names(row) == names]
            if found:
                watched.object_id = found[0]
                return
            watched.page += 1
            watched.ids_seen.update(row.id for row in page.rows)
            if (page.total is not None and len(watched.ids_seen) >= page.total) or watched.page > MAX_PAGES:
                self._mark_missing(watched, "no object has exactly these names")
                return
            if not page.rows:
                self._context.observer.unexpected(kind.list_operation, ["total"])
                watched.restart_search()
                return

    async def _get(self, watched: Watched, source: SourceState, object_id: int) -> None:
        """Update one object by its id. Raises: MmsError."""
        kind = watched.target.kind
        row = await self._permissions.call(
            kind.get_operation, lambda: kind.get(self._context.client, source.name.source_id, object_id)
        )
        stats = kind.stats(source.name, row, unix_seconds(row.last_ddl_time, self._context.account.time_zone))
        if unexpected := list(_unexpected_fields(row, stats)):
            self._context.observer.unexpected(kind.get_operation, unexpected)
        watched.stats = watched.stats if watched.stats == stats else stats
        watched.read_at = self._context.clock.monotonic()
        watched.is_missing = False


def _unexpected_fields(row: Any, stats: TableStats | PartitionStats) -> Iterator[str]:  # noqa: ANN401 - either kind's record
    """Yield the API names of fields with unknown or unparsable values."""
    if is_unknown(row.status):
        yield "status"
    if row.last_ddl_time is not None and stats.last_ddl_at is None:
        yield "lastDdlTime"
