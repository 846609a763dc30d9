"""Status rules: every status follows from the attempts at its units.

A unit is migrated in one piece: a partition, or an unpartitioned table. Times are moments of the source.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

INIT: Final = "INIT"
DOING: Final = "DOING"
DONE: Final = "DONE"
PART_DONE: Final = "PART_DONE"
FAILED: Final = "FAILED"


class Attempt(NamedTuple):
    """One attempt at migrating a unit."""

    start: float
    end: float
    outcome: str | None
    """DONE or FAILED; None if aborted, which leaves the unit unchanged."""
    job: int
    """The job id; 0 for attempts before all jobs and for forced ones."""
    forced: bool = False
    """Whether it counts for a unit that is DONE or DOING too."""


class Tally(NamedTuple):
    """A table at one moment; unpartitioned tables have zeros."""

    status: str
    partitions: int
    doing: int
    done: int
    failed: int


class Counts(NamedTuple):
    """The counters of a source row."""

    tables_doing: int = 0
    tables_done: int = 0
    tables_part_done: int = 0
    tables_failed: int = 0
    partitions_doing: int = 0
    partitions_done: int = 0
    partitions_failed: int = 0


def unit_status(attempts: Iterable[Attempt], moment: float) -> str:
    """Return a unit's status; `attempts` are ordered by start.

    An attempt at a unit that is DONE or DOING has no effect.
    """
    settled = INIT
    running: Attempt | None = None
    for attempt in attempts:
        if attempt.start > moment:
            break
        if running is not None and running.end <= attempt.start:
            settled, running = running.outcome or settled, None
        if attempt.forced or (running is None and settled != DONE):
            running = attempt
    if running is None:
        return settled
    return DOING if moment < running.end else running.outcome or settled


def table_status(partitions: int, doing: int, done: int, failed: int) -> str:
    """Return the status of a partitioned table.

    DOING if any partition is; DONE if all are; PART_DONE if some are; FAILED if some failed; else INIT.
    """
    if doing:
        return DOING
    if done == partitions:
        return DONE
    if done:
        return PART_DONE
    return FAILED if failed else INIT


def table_tally(partitions: int, statuses: list[str]) -> Tally:
    """Return the tally of a table whose units have `statuses`."""
    if not partitions:
        return Tally(statuses[0], 0, 0, 0, 0)
    doing, done, failed = statuses.count(DOING), statuses.count(DONE), statuses.count(FAILED)
    return Tally(table_status(partitions, doing, done, failed), partitions, doing, done, failed)


def table_counts(tally: Tally) -> Counts:
    """Return what one table adds to its source row."""
    status = tally.status
    return Counts(
        int(status == DOING),
        int(status == DONE),
        int(status == PART_DONE),
        int(status == FAILED),
        tally.doing,
        tally.done,
        tally.failed,
    )


def database_status(tables: int, counts: Counts) -> str:
    """Return the status of a database."""
    # The same rule as for partitions of a table.
    if counts.tables_doing:
        return DOING
    if counts.tables_done and counts.tables_done == tables:
        return DONE
    if counts.tables_done or counts.tables_part_done:
        return PART_DONE
    return FAILED if counts.tables_failed else INIT


def total(counts: Iterable[Counts]) -> Counts:
    """Return the sum of `counts`."""
    rows = tuple(counts)
    return Counts(*map(sum, zip(*rows, strict=True))) if rows else Counts()


def times(factor: int, counts: Counts) -> Counts:
    """Return `counts` multiplied by `factor`."""
    return Counts(*(factor * count for count in counts))
