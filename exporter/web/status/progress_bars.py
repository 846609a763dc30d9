"""Counters of data sources and databases as records of the report. `mms.models.progress` defines progress. Pure."""

from collections.abc import Iterable

from exporter.mms.models.progress import done_of_all, partition_counts, ratio, table_counts
from exporter.mms.models.records import Database, DataSource
from exporter.web.status.source_schema import Objects, Progress


def tables_of(row: DataSource | Database) -> Objects:
    """Return the table counters of a data source or database."""
    return Objects(**table_counts(row)._asdict())


def partitions_of(row: DataSource | Database) -> Objects:
    """Return the partition counters of a data source or database."""
    return Objects(**partition_counts(row)._asdict())


def progress_of(row: DataSource | Database) -> Progress | None:
    """Return the progress; None if unknown."""
    known = done_of_all(row)
    if known is None:
        return None
    done, total = known
    tables, partitions = table_counts(row), partition_counts(row)
    return _progress(
        total,
        done,
        tables.part_done or 0,
        (tables.doing or 0) + (partitions.doing or 0),
        (tables.failed or 0) + (partitions.failed or 0),
    )


def left_of(row: DataSource) -> int:
    """Return the tables and partitions that wait or run, where they are known; failed ones are not included."""
    return table_counts(row).left + partition_counts(row).left


def total_progress(parts: Iterable[Progress]) -> Progress | None:
    """Return the sum of several progresses; None for none."""
    rows = [(part.total, part.done, part.part_done, part.doing, part.failed) for part in parts]
    return _progress(*map(sum, zip(*rows, strict=True))) if rows else None


def _progress(total: int, done: int, part_done: int, doing: int, failed: int) -> Progress:
    share = ratio(done, total)
    return Progress(total=total, done=done, part_done=part_done, doing=doing, failed=failed, ratio=share)
