"""Asks of all that a retry set out to migrate whether it is DONE, in as few calls as that takes."""

import asyncio
from typing import Final

from msgspec.structs import replace

from exporter.errors import NotFound
from exporter.mms.client import Client
from exporter.mms.models import PARTITION_STATUSES
from exporter.mms.protocol import PartitionFilter, like
from exporter.retry.inventory import Inventory
from exporter.retry.journal import Journal
from exporter.retry.units import DONE, Unit, partition_unit, table_unit

MAX_ASKED_ONE_BY_ONE: Final = 50
"""Partitions of one table; of more, the table's lists by status are read."""
MAX_PAGES: Final = 100_000


async def not_done(client: Client, journal: Journal) -> list[Unit]:
    """Return all that a retry set out to migrate and that is not DONE, with its status; None where it is gone.

    Raises: MmsError.
    """
    source_id = journal.course.source_id
    units = [unit for entry in journal.entries for unit in entry.batch.units()]
    tables: dict[tuple[str, str], dict[int, Unit]] = {}
    for unit in units:
        if unit.is_partition:
            tables.setdefault((unit.db or "", unit.table or ""), {})[unit.id] = unit
    left = [unit for wanted in tables.values() for unit in await _partitions_left(client, source_id, wanted)]
    return left + await _left(client, source_id, [unit for unit in units if not unit.is_partition])


async def failed_beside(client: Client, journal: Journal) -> list[Unit]:
    """Return what is FAILED now and was not in a retry's jobs. Raises: MmsError.

    A table counts as in them where partitions of it are.
    """
    units = [unit for entry in journal.entries for unit in entry.batch.units()]
    ids = {(unit.kind, unit.id) for unit in units}
    names = {(unit.db, unit.table) for unit in units if unit.is_partition}
    failed = await Inventory(client, journal.course.source_id).failed()
    beside = [unit for unit in failed if (unit.kind, unit.id) not in ids]
    return [unit for unit in beside if unit.is_partition or (unit.db, unit.table) not in names]


async def _partitions_left(client: Client, source_id: int, wanted: dict[int, Unit]) -> list[Unit]:
    """Return which of some partitions of one table are not DONE."""
    if len(wanted) <= MAX_ASKED_ONE_BY_ONE:
        return await _left(client, source_id, list(wanted.values()))
    found: dict[int, str] = {}
    for status in (DONE, *(each for each in PARTITION_STATUSES if each != DONE)):
        if len(found) < len(wanted):
            found |= dict.fromkeys(await _listed(client, source_id, wanted, status), status)
    known = (replace(unit, status=found.get(number)) for number, unit in wanted.items())
    return [unit for unit in known if unit.status != DONE]


async def _listed(client: Client, source_id: int, wanted: dict[int, Unit], status: str) -> set[int]:
    """Return which of some partitions of one table MMS lists with a status."""
    one = next(iter(wanted.values()))
    filters = PartitionFilter(db_name=like(one.db or ""), table_name=like(one.table or ""), status=(status,))
    found: set[int] = set()
    seen = 0
    for number in range(1, MAX_PAGES + 1):
        page = await client.partitions_page(source_id, filters, number)
        found.update(row.id for row in page.rows if row.id in wanted)
        seen += len(page.rows)
        if not page.rows or len(found) == len(wanted) or (page.total is not None and seen >= page.total):
            break
    return found


async def _left(client: Client, source_id: int, units: list[Unit]) -> list[Unit]:
    """Return which of `units` are not DONE, each asked for; the client's pace keeps them apart."""
    known = await asyncio.gather(*(_asked(client, source_id, unit) for unit in units))
    return [unit for unit in known if unit.status != DONE]


async def _asked(client: Client, source_id: int, unit: Unit) -> Unit:
    try:
        if unit.is_partition:
            return partition_unit(await client.get_partition(source_id, unit.id))
        return table_unit(await client.get_table(source_id, unit.id))
    except NotFound:
        return replace(unit, status=None)
