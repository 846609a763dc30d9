"""How far a migration is, from the counters of its data sources. Pure.

The same arithmetic as that of deploy/prometheus/rules/mms-recording.yaml: over tables and partitions together, since a
table without partitions jumps from nothing to done; what failed is part of what there is to do.
"""

from collections.abc import Iterable

from exporter.mms.models import DataSource
from exporter.web.report import Objects, Progress


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
    kinds = [_progress(objects) for objects in (tables_of(row), partitions_of(row))]
    known = [progress for progress in kinds if progress is not None]
    return together(known) if len(known) == len(kinds) else None


def together(parts: Iterable[Progress]) -> Progress | None:
    """Return the progress of several things as one; None for nothing."""
    rows = [(part.total, part.done, part.part_done, part.doing, part.failed) for part in parts]
    return _in_all(*map(sum, zip(*rows, strict=True))) if rows else None


def ratio_of(done: int | None, total: int | None) -> float | None:
    """Return the share that is done; None where it is not known, or there is nothing to do."""
    return min(done / total, 1.0) if total and done is not None else None


def _progress(objects: Objects) -> Progress | None:
    if objects.inventory is None or objects.done is None:
        return None
    states = [objects.done, objects.part_done or 0, objects.doing or 0, objects.failed or 0]
    return _in_all(max(objects.inventory, sum(states)), *states)


def _in_all(total: int, done: int, part_done: int, doing: int, failed: int) -> Progress:
    ratio = ratio_of(done, total)
    return Progress(total=total, done=done, part_done=part_done, doing=doing, failed=failed, ratio=ratio)
