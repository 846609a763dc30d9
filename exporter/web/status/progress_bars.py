"""Counters of data sources as records of the report. `mms.models.progress` defines progress. Pure."""

from collections.abc import Iterable

from exporter.mms.models.progress import done_of_all, partition_total, ratio, table_total
from exporter.mms.models.records import DataSource
from exporter.web.status.source_schema import Objects, Progress


def tables_of(row: DataSource) -> Objects:
    """Return the table counters of a data source."""
    return Objects(
        inventory=row.table_num,
        doing=row.tables_doing_num,
        done=row.tables_done_num,
        part_done=row.tables_part_done_num,
        failed=row.tables_failed_num,
    )


def partitions_of(row: DataSource) -> Objects:
    """Return the partition counters of a data source."""
    return Objects(
        inventory=row.partition_num,
        doing=row.partitions_doing_num,
        done=row.partitions_done_num,
        part_done=None,
        failed=row.partitions_failed_num,
    )


def progress_of(row: DataSource) -> Progress | None:
    """Return the progress of a data source; None if unknown."""
    known = done_of_all(row)
    if known is None:
        return None
    done, total = known
    return _progress(
        total,
        done,
        row.tables_part_done_num or 0,
        (row.tables_doing_num or 0) + (row.partitions_doing_num or 0),
        (row.tables_failed_num or 0) + (row.partitions_failed_num or 0),
    )


def left_of(row: DataSource) -> int:
    """Return the tables and partitions that wait or run, where they are known; failed ones are not included."""
    tables = _left(table_total(row), row.tables_done_num, row.tables_part_done_num, row.tables_failed_num)
    return tables + _left(partition_total(row), row.partitions_done_num, row.partitions_failed_num)


def _left(total: int | None, done: int | None, *others: int | None) -> int:
    return 0 if total is None or done is None else total - done - sum(other or 0 for other in others)


def total_progress(parts: Iterable[Progress]) -> Progress | None:
    """Return the sum of several progresses; None for none."""
    rows = [(part.total, part.done, part.part_done, part.doing, part.failed) for part in parts]
    return _progress(*map(sum, zip(*rows, strict=True))) if rows else None


def _progress(total: int, done: int, part_done: int, doing: int, failed: int) -> Progress:
    share = ratio(done, total)
    return Progress(total=total, done=done, part_done=part_done, doing=doing, failed=failed, ratio=share)
