"""Progress of data sources, databases and jobs, as in deploy/prometheus/rules/mms-recording.yaml. Pure.

Tables and partitions count together, because a table without partitions jumps from 0 to done. Failed items count as
remaining work.
"""

from exporter.mms.models.records import Database, DataSource, Job


def done_of_all(row: DataSource) -> tuple[int, int] | None:
    """Return done and total tables and partitions; None if unknown."""
    done = row.tables_done_num, row.partitions_done_num
    total = table_total(row), partition_total(row)
    if None in done or None in total:
        return None
    return sum(each or 0 for each in done), sum(each or 0 for each in total)


def source_ratio(row: DataSource) -> float | None:
    """Return the progress of a source; None if unknown or empty."""
    known = done_of_all(row)
    return None if known is None else ratio(*known)


def database_ratio(row: Database) -> float | None:
    """Return the progress of a database; None if unknown or empty."""
    tables = _total(row.tables, row.tables_doing, row.tables_done, row.tables_part_done, row.tables_failed)
    partitions = _total(row.partitions, row.partitions_doing, row.partitions_done, row.partitions_failed)
    if tables is None or partitions is None or row.tables_done is None or row.partitions_done is None:
        return None
    return ratio(row.tables_done + row.partitions_done, tables + partitions)


def job_ratio(job: Job) -> float | None:
    """Return the progress of a job; None if unknown or empty."""
    return ratio(job.task_done, job.task_num)


def table_total(row: DataSource) -> int | None:
    """Return the number of tables; None if unknown."""
    states = row.tables_doing_num, row.tables_done_num, row.tables_part_done_num, row.tables_failed_num
    return _total(row.table_num, *states)


def partition_total(row: DataSource) -> int | None:
    """Return the number of partitions; None if unknown."""
    states = row.partitions_doing_num, row.partitions_done_num, row.partitions_failed_num
    return _total(row.partition_num, *states)


def ratio(done: int | None, total: int | None) -> float | None:
    """Return the ratio, at most 1; None if unknown or empty."""
    return min(done / total, 1.0) if total and done is not None else None


def _total(inventory: int | None, *states: int | None) -> int | None:
    # The inventory can lag behind the status counters.
    return None if inventory is None else max(inventory, sum(state or 0 for state in states))
