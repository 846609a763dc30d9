"""The counters of data sources as the records of the report. What they mean together says `mms.progress`. Pure."""

from collections.abc import Iterable

from exporter.mms.models import DataSource
from exporter.mms.progress import done_of_all, ratio
from exporter.web.status.source_schema import Objects, Progress


def tables_of(row: DataSource) -> Objects:
    """Return the counters of a data source's tables."""
    return Objects(
        inventory=row.table_num,
        doing=row.tables_doing_num,
        done=row.tables_done_num,
        part_done=row.tables_part_done_num,
        failed=row.tables_failed_num,
    )


def partitions_of(row: DataSource) -> Objects:
    """Return the counters of a data source's partitions."""
    return Objects(
        inventory=row.partition_num,
        doing=row.partitions_doing_num,
        done=row.partitions_done_num,
        part_done=None,
        failed=row.partitions_failed_num,
    )


def progress_of(row: DataSource) -> Progress | None:
    """Return how far a data source is; None where that is not known of its tables and of its partitions."""
    known = done_of_all(row)
    if known is None:
        return None
    done, total = known
    return _in_all(
        total,
        done,
        row.tables_part_done_num or 0,
        (row.tables_doing_num or 0) + (row.partitions_doing_num or 0),
        (row.tables_failed_num or 0) + (row.partitions_failed_num or 0),
    )


def together(parts: Iterable[Progress]) -> Progress | None:
    """Return the progress of several things as one; None for nothing."""
    rows = [(part.total, part.done, part.part_done, part.doing, part.failed) for part in parts]
    return _in_all(*map(sum, zip(*rows, strict=True))) if rows else None


def _in_all(total: int, done: int, part_done: int, doing: int, failed: int) -> Progress:
    share = ratio(done, total)
    return Progress(total=total, done=done, part_done=part_done, doing=doing, failed=failed, ratio=share)
