"""How far a data source or a job is: the arithmetic of deploy/prometheus/rules/mms-recording.yaml. Pure.

Over tables and partitions together, since a table without partitions jumps from nothing to done; what failed is part of
what there is to do.
"""

from exporter.mms.models import DataSource, Job


def done_of_all(row: DataSource) -> tuple[int, int] | None:
    """Return how many of a source's tables and partitions are done, and how many there are.

    None where either is not known of both.
    """
    done = row.tables_done_num, row.partitions_done_num
    total = table_total(row), partition_total(row)
    if None in done or None in total:
        return None
    return sum(each or 0 for each in done), sum(each or 0 for each in total)


def source_ratio(row: DataSource) -> float | None:
    """Return which part of a source is done; None where that is not known, and where there is nothing."""
    known = done_of_all(row)
    return None if known is None else ratio(*known)


def job_ratio(job: Job) -> float | None:
    """Return which part of a job's tasks is done; None as above."""
    return ratio(job.task_done, job.task_num)


def table_total(row: DataSource) -> int | None:
    """Return how many tables there are: the inventory, or what has a status where that is more; None if not known."""
    states = row.tables_doing_num, row.tables_done_num, row.tables_part_done_num, row.tables_failed_num
    return _whole(row.table_num, *states)


def partition_total(row: DataSource) -> int | None:
    """Return how many partitions there are, as above."""
    states = row.partitions_doing_num, row.partitions_done_num, row.partitions_failed_num
    return _whole(row.partition_num, *states)


def ratio(done: int | None, total: int | None) -> float | None:
    """Return the share that is done; None where it is not known, or there is nothing to do."""
    return min(done / total, 1.0) if total and done is not None else None


def _whole(inventory: int | None, *states: int | None) -> int | None:
    return None if inventory is None else max(inventory, sum(state or 0 for state in states))
