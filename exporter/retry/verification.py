"""Asks of all that a retry set out to migrate whether it is DONE, in as few calls as that takes.

Statuses may lag behind jobs: what may still change by itself is read again until the settle time is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import NotFound
from exporter.mms.client import Client
from exporter.mms.models import PARTITION_STATUSES
from exporter.mms.protocol import PartitionFilter, like
from exporter.retry.failed_units import FailedUnitReader
from exporter.retry.journal import Journal
from exporter.retry.sending import SETTLE_SECONDS
from exporter.retry.units import DONE, Unit

MAX_ASKED_ONE_BY_ONE: Final = 50
"""Partitions of one table; of more, the table's lists by status are read."""
FIRST_POLL_SECONDS: Final = 5.0
MAX_POLL_SECONDS: Final = 30.0
MAX_PAGES: Final = 100_000
_UNSAID: Final = "of unknown status"


Read = Callable[[Sequence[Unit]], Awaitable[list[Unit]]]


async def incomplete_units(
    client: Client, journal: Journal, clock: Clock = SYSTEM_CLOCK, settle_seconds: float = SETTLE_SECONDS
) -> list[Unit]:
    """Return all that a retry set out to migrate and that is not DONE, with its status; None where it is gone.

    A table that is migrated by its partitions is among them if it is FAILED. What is gone, and what is FAILED as its
    job is, is so at once; all else only if it did not settle in time. Raises: MmsError.
    """
    source_id, until = journal.course.source_id, clock.monotonic() + settle_seconds
    done = [entry for entry in journal.entries if entry.state == "done"]
    of_done_jobs = {(unit.kind, unit.id) for entry in done for unit in entry.batch.units()}

    def may_settle(unit: Unit) -> bool:
        is_stale = not unit.is_failed or (unit.kind, unit.id) in of_done_jobs
        return unit.status is not None and is_stale

    units = [unit for entry in journal.entries for unit in entry.batch.units()]
    left = await _settled(units, partial(_units_left, client, source_id), may_settle, clock, until)
    # Where units are left, the run has failed: their tables need not settle.
    until = clock.monotonic() if left else until
    tables = await _settled((), lambda _: _failed_tables(client, journal), lambda _: True, clock, until)
    return left + tables


async def _settled(
    units: Sequence[Unit], read: Read, may_settle: Callable[[Unit], bool], clock: Clock, until: float
) -> list[Unit]:
    """Return what `read` finds left of `units`, when nothing of it may settle any more or the time is over."""
    left = await read(units)
    wait = FIRST_POLL_SECONDS
    while clock.monotonic() < until and (unsettled := [unit for unit in left if may_settle(unit)]):
        await clock.sleep(wait)
        wait = min(MAX_POLL_SECONDS, 1.5 * wait)
        left = [unit for unit in left if not may_settle(unit)] + await read(unsettled)
    return left


async def _failed_tables(client: Client, journal: Journal) -> list[Unit]:
    """Return the tables that a retry migrates by their partitions and that are FAILED."""
    wanted, inventory = frozenset(journal.course.tables), FailedUnitReader(client, journal.course.source_id)
    if len(wanted) > MAX_ASKED_ONE_BY_ONE:
        return [table for table in await inventory.failed_tables() if table.id in wanted]
    found = await asyncio.gather(*(_table(inventory, number) for number in sorted(wanted)))
    return [table for table in found if table is not None and table.is_failed]


async def _table(inventory: FailedUnitReader, number: int) -> Unit | None:
    with suppress(NotFound):
        return await inventory.table(number)
    return None


async def _units_left(client: Client, source_id: int, units: Sequence[Unit]) -> list[Unit]:
    """Return which of `units` are not DONE now."""
    tables: dict[tuple[str, str], dict[int, Unit]] = {}
    for unit in units:
        if unit.is_partition:
            tables.setdefault((unit.db or "", unit.table or ""), {})[unit.id] = unit
    left = [unit for wanted in tables.values() for unit in await _partitions_left(client, source_id, wanted)]
    return left + await _left(client, source_id, [unit for unit in units if not unit.is_partition])


async def other_failures(client: Client, journal: Journal) -> list[Unit]:
    """Return what is FAILED now and is not what a retry set out to migrate. Raises: MmsError."""
    ids = {(unit.kind, unit.id) for entry in journal.entries for unit in entry.batch.units()}
    ids |= {("table", number) for number in journal.course.tables}
    failed = await FailedUnitReader(client, journal.course.source_id).failed()
    return [unit for unit in failed if (unit.kind, unit.id) not in ids]


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
    inventory = FailedUnitReader(client, source_id)
    try:
        now = await (inventory.partition(unit.id) if unit.is_partition else inventory.table(unit.id))
    except NotFound:
        return replace(unit, status=None)
    return replace(unit, value=now.value, status=now.status.upper() if now.status else _UNSAID)
