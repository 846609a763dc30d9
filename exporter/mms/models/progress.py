"""Progress of data sources, databases and jobs, as in deploy/prometheus/rules/mms-recording.yaml. Pure.

Tables and partitions count together, because a table without partitions jumps from 0 to done. Failed items count as
remaining work.
"""

from typing import NamedTuple

from exporter.mms.models.records import Database, DataSource, Job


class UnitCounts(NamedTuple):
    """Counts of tables or partitions; None if unknown."""

    inventory: int | None
    doing: int | None
    done: int | None
    part_done: int | None
    """None for partitions."""
    failed: int | None

    @property
    def total(self) -> int | None:
        """Return the number of units; None if unknown."""
        # The inventory can lag behind the status counters.
        return None if self.inventory is None else max(self.inventory, sum(count or 0 for count in self[1:]))

    @property
    def left(self) -> int:
        """Return the units that wait or run, 0 if unknown."""
        if self.total is None or self.done is None:
            return 0
        return self.total - self.done - (self.part_done or 0) - (self.failed or 0)


def table_counts(row: DataSource | Database) -> UnitCounts:
    """Return the tables of a data source or database."""
    if isinstance(row, Database):
        return UnitCounts(row.tables, row.tables_doing, row.tables_done, row.tables_part_done, row.tables_failed)
    states = row.tables_doing_num, row.tables_done_num, row.tables_part_done_num, row.tables_failed_num
    return UnitCounts(row.table_num, *states)


def partition_counts(row: DataSource | Database) -> UnitCounts:
    """Return the partitions of a data source or database."""
    if isinstance(row, Database):
        return UnitCounts(row.partitions, row.partitions_doing, row.partitions_done, None, row.partitions_failed)
    states = row.partitions_doing_num, row.partitions_done_num, None, row.partitions_failed_num
    return UnitCounts(row.partition_num, *states)


def done_of_all(row: DataSource | Database) -> tuple[int, int] | None:
    """Return done and total tables and partitions; None if unknown."""
    counts = table_counts(row), partition_counts(row)
    done, total = [each.done for each in counts], [each.total for each in counts]
    if None in done or None in total:
        return None
    # Before the first metadata scan, 0 objects are an inventory that nobody knows.
    if not any(total) and isinstance(row, DataSource) and row.last_update_time is None:
        return None
    return sum(each or 0 for each in done), sum(each or 0 for each in total)


def progress_ratio(row: DataSource | Database) -> float | None:
    """Return the progress; None if unknown or empty."""
    known = done_of_all(row)
    return None if known is None else ratio(*known)


def job_ratio(job: Job) -> float | None:
    """Return the progress of a job; None if unknown or empty."""
    return ratio(job.task_done, job.task_num)


def ratio(done: int | None, total: int | None) -> float | None:
    """Return the ratio, at most 1; None if unknown or empty."""
    return min(done / total, 1.0) if total and done is not None else None
