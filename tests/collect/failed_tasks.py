"""Failed tasks by ground truth, and why they failed."""

from collections import Counter
from collections.abc import Container, Iterator

from exporter.collect.collectors.reasons import reason_of
from exporter.mms.diagnosis.reason_rules import Reason
from exporter.mms.models.statuses import TASK_PHASES, TaskStatus
from exporter.simulator.oracle import Oracle

EXAMINED = 20
"""The default of failures.reasons.max_tasks."""
TableOfTask = tuple[str | None, str | None]
"""Database and table."""


def failed_tasks(
    truth: Oracle,
    source_id: int,
    hidden_jobs: Container[int | None] = (),
    tables: Container[TableOfTask] | None = None,
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of failed tasks by phase, and by reason of the newest ones of `tables`.

    By default, those that are FAILED now.
    """
    by_status = {TaskStatus(f"{phase}_FAILED"): phase for phase in TASK_PHASES}
    failed = [task for task in truth.tasks(source_id) if task.status in by_status and task.job_id not in hidden_jobs]
    statuses = Counter(task.status for task in failed)
    tables = set(failed_tables(truth, source_id)) if tables is None else tables
    of_failed = [task for task in failed if (task.src_db_name, task.src_table_name) in tables]
    jobs = {
        table: max(task.job_id or 0 for task in of_failed if (task.src_db_name, task.src_table_name) == table)
        for table in {(task.src_db_name, task.src_table_name) for task in of_failed}
    }
    newest = sorted(
        (task for task in of_failed if task.job_id == jobs[task.src_db_name, task.src_table_name]),
        key=lambda task: task.id,
        reverse=True,
    )[:EXAMINED]
    reasons = Counter(reason_of(truth.task_logs(source_id, task.id)) for task in newest)
    return {phase: statuses[status] for status, phase in by_status.items()}, {each: reasons[each] for each in Reason}


def failed_tables(truth: Oracle, source_id: int) -> Iterator[TableOfTask]:
    """Yield the tables that are FAILED, or have a FAILED partition."""
    yield from ((each.db_name, each.name) for each in truth.tables(source_id) if each.status == "FAILED")
    yield from ((each.db_name, each.table_name) for each in truth.partitions(source_id) if each.status == "FAILED")
