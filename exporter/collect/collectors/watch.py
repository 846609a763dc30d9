"""The collector of watched tables and partitions: GetMmsTable, GetMmsPartition -> TableFigures, PartitionFigures.

What is named is looked for once and then followed by its id, whatever it is called later. What does not exist is said
once and tried again later; what lies in no data source of this account is nothing to ask for.
"""

from collections.abc import Iterator
from typing import Any, Final

from exporter.collect.collector import CollectorContext
from exporter.collect.collectors.watched import Watched, targets
from exporter.collect.permissions import Permissions
from exporter.collect.snapshot import PartitionStats, TableStats
from exporter.collect.state.source_state import SourceState
from exporter.config.loading import Watch
from exporter.errors import ExporterError, NotFound, PermissionRefused
from exporter.mms.listing import MAX_PAGES

RETRY_SECONDS: Final = 600.0
"""How long what does not exist is left alone."""
PAGES_PER_REFRESH: Final = 5
"""On so many pages of loose matches one refresh looks for a name; the next one goes on behind them."""


class WatchCollector:
    """The collector of what one account watches."""

    name = "watch"

    def __init__(self, means: CollectorContext, watch: Watch, *, is_alone: bool) -> None:
        self._means = means
        # A source that one of several accounts, or shards, lacks is most likely another's.
        self._say = means.log.warning if is_alone else means.log.info
        self._permissions = Permissions(means.clock.monotonic)
        self._watched = [Watched(target, object_id=target.object_id) for target in dict.fromkeys(targets(watch))]

    def take_over(self, before: "WatchCollector") -> None:
        """Go on from what another collector knew of the same things in sources that are still known."""
        sources = self._means.sources.by_id
        found = (each for each in before._watched if each.figures is not None)  # noqa: SLF001 - of the same class
        known = {each.target: each for each in found if each.source_id in sources}
        self._watched = [known.get(each.target, each) for each in self._watched]

    async def collect(self) -> list[ExporterError]:
        """Read all that is watched, the longest unread first."""
        waiting = sorted(self._watched, key=lambda watched: watched.read_at)
        errors = await self._means.fan_out.each(waiting, self._read)
        return [*errors, *self._permissions.errors]

    def give_up(self) -> None:
        """Nothing else tells of it."""

    def note_reload(self) -> None:
        """Ask again for what was refused, and for what did not exist."""
        self._permissions.forget()
        for watched in self._watched:
            watched.retry_at = 0.0

    def read_at(self) -> Iterator[float]:
        """Yield when each of the figures was read."""
        return (watched.read_at for watched in self._watched if watched.figures is not None)

    def tables(self, oldest: float) -> tuple[TableStats, ...]:
        """Return the tables that are shown: none that was read before `oldest`."""
        return tuple(figures for figures in self._shown(oldest) if isinstance(figures, TableStats))

    def partitions(self, oldest: float) -> tuple[PartitionStats, ...]:
        """Return the partitions that are shown, as above."""
        return tuple(figures for figures in self._shown(oldest) if isinstance(figures, PartitionStats))

    def _shown(self, oldest: float) -> Iterator[TableStats | PartitionStats]:
        """Yield each thing once, however many entries turn out to mean it: a series given twice breaks every scrape."""
        shown: dict[tuple[str, int, int], TableStats | PartitionStats] = {}
        for watched in self._watched:
            if watched.figures is not None and watched.read_at >= oldest:
                shown.setdefault(_identity(watched.figures), watched.figures)
        return iter(shown.values())

    async def _read(self, watched: Watched) -> None:
        """Read one; what is not permitted counts for the collector as a whole. Raises: MmsError."""
        source = self._source_of(watched)
        if source is None:
            if self._means.sources.are_all_known:
                self._note_missing(watched, "the data source does not exist")
                watched.retry_at = 0.0  # it costs no call to see that the source has come
            return
        watched.place_in(source.name.source_id)
        watched.rename_source(source.name)
        if watched.is_missing and self._means.clock.monotonic() < watched.retry_at:
            return
        try:
            if watched.object_id is None:
                await self._resolve(watched, source.name.source_id)
            if watched.object_id is not None:
                await self._get(watched, source, watched.object_id)
        except NotFound:
            self._note_missing(watched, "no object has this id")
        except PermissionRefused:
            pass

    def _source_of(self, watched: Watched) -> SourceState | None:
        """Return the data source of what is watched: the one where it was, whatever that is called now."""
        target, known = watched.target, self._means.sources.by_id
        if target.source_id is not None:
            return known.get(target.source_id)
        if watched.source_id in known:
            return known[watched.source_id]
        return next((source for source in known.values() if source.name.source == target.source), None)

    def _note_missing(self, watched: Watched, reason: str) -> None:
        watched.forget()
        watched.retry_at = self._means.clock.monotonic() + RETRY_SECONDS
        if not watched.is_missing:
            target = watched.target
            source = target.source if target.source_id is None else target.source_id
            self._say("watched object not found", watched=str(target), data_source=source, reason=reason)
        watched.is_missing = True

    async def _resolve(self, watched: Watched, source_id: int) -> None:
        """Look for the id of what is named, on some pages of what matches loosely. Raises: MmsError."""
        kind, names = watched.target.kind, watched.target.names
        for _ in range(PAGES_PER_REFRESH):
            page = await self._permissions.ask(
                kind.list_operation, lambda: kind.page(self._means.client, source_id, names, watched.page)
            )
            found = [row.id for row in page.rows if kind.names(row) == names]
            if found:
                watched.object_id = found[0]
                return
            watched.page += 1
            watched.ids_seen.update(row.id for row in page.rows)
            if (page.total is not None and len(watched.ids_seen) >= page.total) or watched.page > MAX_PAGES:
                self._note_missing(watched, "no object has exactly these names")
                return
            if not page.rows:
                self._means.observer.unexpected(kind.list_operation, ["total"])
                watched.search_again()
                return

    async def _get(self, watched: Watched, source: SourceState, object_id: int) -> None:
        """Keep what is said of what is watched now. Raises: MmsError."""
        kind = watched.target.kind
        row = await self._permissions.ask(
            kind.get_operation, lambda: kind.get(self._means.client, source.name.source_id, object_id)
        )
        figures = kind.figures(row, source.name, self._means.account.time_zone)
        if strange := list(_strange_fields(watched, row, figures)):
            self._means.observer.unexpected(kind.get_operation, strange)
        watched.figures = watched.figures if watched.figures == figures else figures
        watched.read_at = self._means.clock.monotonic()
        watched.is_missing = False


def _identity(figures: TableStats | PartitionStats) -> tuple[str, int, int]:
    """Return what tells one series from another; MMS's own answer, whatever was asked for."""
    if isinstance(figures, TableStats):
        return "table", figures.name.source_id, figures.table_id
    return "partition", figures.name.source_id, figures.partition_id


def _strange_fields(watched: Watched, row: Any, figures: TableStats | PartitionStats) -> Iterator[str]:  # noqa: ANN401 - either kind's record
    """Yield the API's names of the fields whose value has the right type and no known meaning."""
    if figures.status is not None and not watched.target.kind.knows_status(figures.status.upper()):
        yield "status"
    if row.last_ddl_time is not None and figures.last_ddl_at is None:
        yield "lastDdlTime"
