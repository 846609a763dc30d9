"""The collector of data sources: ListMmsDataSources -> SourceFigures."""

from dataclasses import dataclass

from exporter.collect.snapshot import SourceFigures, SourceName
from exporter.config import Account
from exporter.mms.client import Client
from exporter.mms.models import DATA_SOURCE_STATUSES, SCAN_STATUSES, DataSource
from exporter.mms.observer import Observer
from exporter.mms.times import unix_seconds

OPERATION = "ListMmsDataSources"


@dataclass(frozen=True, slots=True)
class Inventory:
    """The data sources that an account has and its configuration admits."""

    sources: dict[int, SourceFigures]
    """By id."""
    is_whole: bool
    """Whether a source that is not here does not exist; else it may have been missed."""


async def read_inventory(client: Client, account: Account, observer: Observer) -> Inventory:
    """Return the data sources of `account`. Raises: MmsError."""
    listing = await client.list_data_sources()
    admitted = (row for row in listing.rows if account.sources.admits(row.name or "", row.type or ""))
    return Inventory({row.id: _figures(row, account, observer) for row in admitted}, listing.is_whole)


def _figures(row: DataSource, account: Account, observer: Observer) -> SourceFigures:
    figures = SourceFigures(
        name=SourceName(account.name, row.id, row.name or ""),
        row=row,
        created_at=unix_seconds(row.create_time, account.time_zone),
        synced_at=unix_seconds(row.last_update_time, account.time_zone),
    )
    if strange := _strange_fields(figures):
        observer.unexpected(OPERATION, strange)
    return figures


def _strange_fields(figures: SourceFigures) -> list[str]:
    """Return the API's names of the fields whose value has the right type and no known meaning."""
    row = figures.row
    signs = {
        "status": row.status is not None and row.status.upper() not in DATA_SOURCE_STATUSES,
        "scanStatus": row.scan_status is not None and row.scan_status.upper() not in SCAN_STATUSES,
        "createTime": row.create_time is not None and figures.created_at is None,
        "lastUpdateTime": row.last_update_time is not None and figures.synced_at is None,
    }
    return [field for field, is_strange in signs.items() if is_strange]
