"""How far a data source or a job is. Pure."""

from exporter.mms.models import DataSource, Job


def source_progress(row: DataSource) -> float | None:
    """Return which part of a source's tables and partitions is done, failures being part of the whole.

    As `mms:source:overall_progress:ratio` has it: the whole is the inventory, or what has a status where that is more.
    None where the number of what is done is not known of both, and where there is nothing.
    """
    done = total = 0
    for is_done, counts in ((row.tables_done_num, tables(row)), (row.partitions_done_num, partitions(row))):
        if is_done is None or counts is None:
            return None
        done, total = done + is_done, total + counts
    return done / total if total else None


def tables(row: DataSource) -> int | None:
    """Return how many tables there are; None where that is not known."""
    states = row.tables_doing_num, row.tables_done_num, row.tables_part_done_num, row.tables_failed_num
    return _whole(row.table_num, *states)


def partitions(row: DataSource) -> int | None:
    """Return how many partitions there are; None where that is not known."""
    states = row.partitions_doing_num, row.partitions_done_num, row.partitions_failed_num
    return _whole(row.partition_num, *states)


def job_progress(job: Job) -> float | None:
    """Return which part of a job's tasks is done; None where that is not known, and where there is none."""
    return None if job.task_done is None or not job.task_num else min(1.0, job.task_done / job.task_num)


def _whole(inventory: int | None, *states: int | None) -> int | None:
    return None if inventory is None else max(inventory, sum(state or 0 for state in states))
