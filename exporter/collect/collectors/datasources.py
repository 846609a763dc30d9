"""The collector of data sources: ListMmsDataSources -> SourceFigures."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from exporter.collect.collector import CollectorContext
from exporter.collect.snapshot import SourceName, SourceStats
from exporter.errors import ExporterError, MalformedAnswer
from exporter.mms.models import DATA_SOURCE_STATUSES, SCAN_STATUSES, DataSource
from exporter.mms.times import unix_seconds

OPERATION: Final = "ListMmsDataSources"
ROWS_AT_A_TIME: Final = 200
"""Then others have their turn: scrapes are not to wait for thousands of rows."""


@dataclass(frozen=True, slots=True)
class DataSourcesCollector:
    """Lists the data sources that an account has and its configuration admits."""

    name: ClassVar[str] = "datasources"

    means: CollectorContext
    patience: float
    """How long, in seconds, a source may be missing from lists that are not whole."""

    async def collect(self) -> list[ExporterError]:
        """Bring the known sources up to date."""
        is_listed = False
        try:
            errors = await self.means.fan_out.guarded(self._list())
            is_listed = not errors
        finally:
            if not is_listed:
                self.means.sources.note_unlisted()
        return errors

    def give_up(self) -> None:
        """Note that no source could be listed."""
        self.means.sources.note_unlisted()

    def note_reload(self) -> None:
        """Nothing here depends on it."""

    async def _list(self) -> None:
        listing = await self.means.client.list_data_sources()
        if listing.total and not listing.rows:
            raise MalformedAnswer(f"{OPERATION}: no row could be decoded")
        account = self.means.account
        admitted = [row for row in listing.rows if account.sources.admits(row.name or "", row.type or "")]
        own = [row for row in admitted if self.means.shard.holds(account.name, row.id)]
        figures: dict[int, SourceStats] = {}
        for start in range(0, len(own), ROWS_AT_A_TIME):
            figures |= {row.id: self._figures(row) for row in own[start : start + ROWS_AT_A_TIME]}
            await asyncio.sleep(0)
        now = self.means.clock.monotonic()
        if listing.rows and not admitted and (self.means.sources.by_id or not self.means.sources.are_all_known):
            self.means.log.warning("no data source matched the selection", listed=len(listing.rows))
        self.means.sources.file(figures, now, is_whole=listing.is_consistent, patience=self.patience)

    def _figures(self, row: DataSource) -> SourceStats:
        figures = SourceStats(
            name=SourceName(self.means.account.name, row.id, row.name or ""),
            row=row,
            created_at=unix_seconds(row.create_time, self.means.account.time_zone),
            synced_at=unix_seconds(row.last_update_time, self.means.account.time_zone),
        )
        if strange := _strange_fields(figures):
            self.means.observer.unexpected(OPERATION, strange)
        return figures


def _strange_fields(figures: SourceStats) -> list[str]:
    """Return the API's names of the fields whose value has the right type and no known meaning."""
    row = figures.row
    signs = {
        "status": row.status is not None and row.status.upper() not in DATA_SOURCE_STATUSES,
        "scanStatus": row.scan_status is not None and row.scan_status.upper() not in SCAN_STATUSES,
        "createTime": row.create_time is not None and figures.created_at is None,
        "lastUpdateTime": row.last_update_time is not None and figures.synced_at is None,
    }
    return [field for field, is_strange in signs.items() if is_strange]
