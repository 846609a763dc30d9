"""Asks of all that a retry set out to migrate whether it is DONE, in as few calls as that takes.

States may lag behind jobs, so that what is under way is asked for again before it counts as not DONE.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import NotFound
from exporter.mms.client import Client
from exporter.mms.models import PARTITION_STATUSES
from exporter.mms.protocol import PartitionFilter, like
from exporter.retry.inventory import Inventory
from exporter.retry.journal import Journal
from exporter.retry.units import DONE, Unit

MAX_ASKED_ONE_BY_ONE: Final = 50
"""Partitions of one table; of more, the table's lists by status are read."""
SETTLE_SECONDS: Final = 60.0
"""For how long what is under way is asked for again once the jobs have ended. UNVERIFIED: how far states lag."""
POLL_SECONDS: Final = 5.0
MAX_PAGES: Final = 100_000
_UNSAID: Final = "of unknown status"


async def not_done(client: Client, journal: Journal, clock: Clock = SYSTEM_CLOCK) -> list[Unit]:
    """Return all that a retry set out to migrate and that is not DONE, with its status; None where it is gone.

    What is FAILED or gone is so at once; all else only when it did not get to its end for SETTLE_SECONDS.
    Raises: MmsError.
    """
    source_id = journal.course.source_id
    until = clock.monotonic() + SETTLE_SECONDS
    left = await _units_left(client, source_id, [unit for entry in journal.entries for unit in entry.batch.units()])
    while clock.monotonic() < until and (moving := [unit for unit in left if _is_moving(unit)]):
        await clock.sleep(POLL_SECONDS)
        ended = [unit for unit in left if not _is_moving(unit)]
        left = ended + await _units_left(client, source_id, moving)
    return left


def _is_moving(unit: Unit) -> bool:
    """Tell whether a unit that is not DONE may become so by itself."""
    return unit.status is not None and not unit.is_failed


async def _units_left(client: Client, source_id: int, units: Sequence[Unit]) -> list[Unit]:
    """Return which of `units` are not DONE now."""
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
    known = [replace(unit, status=found[number]) for number, unit in wanted.items() if number in found]
    # What went on from one list to another stands in none, as does what is gone.
    unlisted = await _left(client, source_id, [unit for number, unit in wanted.items() if number not in found])
    return [*(unit for unit in known if unit.status != DONE), *unlisted]


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
    """Return a unit as it is now, under the names that it was known by."""
    inventory = Inventory(client, source_id)
    try:
        now = await (inventory.partition(unit.id) if unit.is_partition else inventory.table(unit.id))
    except NotFound:
        return replace(unit, status=None)
    return replace(unit, value=now.value, status=now.status.upper() if now.status else _UNSAID)
