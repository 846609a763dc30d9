"""Checks that all units of a run are DONE, in few calls.

Statuses may lag behind jobs: a status that may still change is read again until the settle time is over.
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
from exporter.mms.protocol import PartitionFilter, like
from exporter.mms.statuses import PartitionStatus
from exporter.retry.failed_units import FailedUnitReader
from exporter.retry.journal import Journal
from exporter.retry.sending import SETTLE_SECONDS
from exporter.retry.units import DONE, Unit

MAX_SINGLE_READS: Final = 50
"""Partitions of one table that are read one by one; for more, its lists by status are read."""
FIRST_POLL_SECONDS: Final = 5.0
MAX_POLL_SECONDS: Final = 30.0
MAX_PAGES: Final = 100_000
_UNKNOWN_STATUS: Final = "of unknown status"


Read = Callable[[Sequence[Unit]], Awaitable[list[Unit]]]


async def incomplete_units(
    client: Client, journal: Journal, clock: Clock = SYSTEM_CLOCK, settle_seconds: float = SETTLE_SECONDS
) -> list[Unit]:
    """Return the units of a run that are not DONE; status None if a unit no longer exists.

    Includes FAILED tables that are migrated by partition IDs. Raises: MmsError.
    """
    source_id, until = journal.run.source_id, clock.monotonic() + settle_seconds
    done = [entry for entry in journal.entries if entry.state == "done"]
    of_done_jobs = {(unit.kind, unit.id) for entry in done for unit in entry.batch.units()}

    # A missing unit, and a FAILED unit of a FAILED job, do not change any more.
    def may_settle(unit: Unit) -> bool:
        is_stale = not unit.is_failed or (unit.kind, unit.id) in of_done_jobs
        return unit.status is not None and is_stale

    units = [unit for entry in journal.entries for unit in entry.batch.units()]
    left = await _poll_until_settled(units, partial(_read_incomplete, client, source_id), may_settle, clock, until)
    # If units are incomplete, the run has failed and there is no need to wait for the tables.
    until = clock.monotonic() if left else until
    tables = await _poll_until_settled((), lambda _: _failed_tables(client, journal), lambda _: True, clock, until)
    return left + tables


async def _poll_until_settled(
    units: Sequence[Unit], read: Read, may_settle: Callable[[Unit], bool], clock: Clock, until: float
) -> list[Unit]:
    """Return the remaining units once stable or out of time."""
    left = await read(units)
    wait = FIRST_POLL_SECONDS
    while clock.monotonic() < until and (unsettled := [unit for unit in left if may_settle(unit)]):
        await clock.sleep(wait)
        wait = min(MAX_POLL_SECONDS, 1.5 * wait)
        left = [unit for unit in left if not may_settle(unit)] + await read(unsettled)
    return left


async def _failed_tables(client: Client, journal: Journal) -> list[Unit]:
    """Return the FAILED tables among those sent by IDs."""
    wanted, reader = frozenset(journal.run.tables), FailedUnitReader(client, journal.run.source_id)
    if len(wanted) > MAX_SINGLE_READS:
        return [table for table in await reader.failed_tables() if table.id in wanted]
    found = await asyncio.gather(*(_table(reader, number) for number in sorted(wanted)))
    return [table for table in found if table is not None and table.is_failed]


async def _table(reader: FailedUnitReader, number: int) -> Unit | None:
    with suppress(NotFound):
        return await reader.table(number)
    return None


async def _read_incomplete(client: Client, source_id: int, units: Sequence[Unit]) -> list[Unit]:
    tables: dict[tuple[str, str], dict[int, Unit]] = {}
    for unit in units:
        if unit.is_partition:
            tables.setdefault((unit.db or "", unit.table or ""), {})[unit.id] = unit
    left = [unit for wanted in tables.values() for unit in await _incomplete_partitions(client, source_id, wanted)]
    return left + await _incomplete(client, source_id, [unit for unit in units if not unit.is_partition])


async def other_failures(client: Client, journal: Journal) -> list[Unit]:
    """Return the FAILED units outside a run. Raises: MmsError."""
    ids = {(unit.kind, unit.id) for entry in journal.entries for unit in entry.batch.units()}
    ids |= {("table", number) for number in journal.run.tables}
    failed = await FailedUnitReader(client, journal.run.source_id).failed()
    return [unit for unit in failed if (unit.kind, unit.id) not in ids]


async def _incomplete_partitions(client: Client, source_id: int, wanted: dict[int, Unit]) -> list[Unit]:
    if len(wanted) <= MAX_SINGLE_READS:
        return await _incomplete(client, source_id, list(wanted.values()))
    found: dict[int, str] = {}
    for status in (DONE, *(each for each in PartitionStatus if each != DONE)):
        if len(found) < len(wanted):
            found |= dict.fromkeys(await _listed(client, source_id, wanted, status), status)
    known = [replace(unit, status=found[number]) for number, unit in wanted.items() if number in found]
    # A partition that moved from one list to another while they were read may be in none of them.
    unlisted = await _incomplete(client, source_id, [unit for number, unit in wanted.items() if number not in found])
    return [*(unit for unit in known if unit.status != DONE), *unlisted]


async def _listed(client: Client, source_id: int, wanted: dict[int, Unit], status: str) -> set[int]:
    """Return which of the partitions MMS lists with this status."""
    one = next(iter(wanted.values()))
    filters = PartitionFilter(db_name=like(one.db or ""), table_name=like(one.table or ""), status=(status,))
    found: set[int] = set()
    seen = 0
    for number in range(1, MAX_PAGES + 1):
        page = await client.partitions_page(source_id, filters, number)
        found.update(row.id for row in page.rows if row.id in wanted and (row.status or status).upper() == status)
        seen += len(page.rows)
        if not page.rows or len(found) == len(wanted) or (page.total is not None and seen >= page.total):
            break
    return found


async def _incomplete(client: Client, source_id: int, units: list[Unit]) -> list[Unit]:
    known = await asyncio.gather(*(_current(client, source_id, unit) for unit in units))
    return [unit for unit in known if unit.status != DONE]


async def _current(client: Client, source_id: int, unit: Unit) -> Unit:
    """Return a unit with its current status; None if it no longer exists."""
    reader = FailedUnitReader(client, source_id)
    try:
        now = await (reader.partition(unit.id) if unit.is_partition else reader.table(unit.id))
    except NotFound:
        return replace(unit, status=None)
    return replace(unit, value=now.value, status=now.status.upper() if now.status else _UNKNOWN_STATUS)
