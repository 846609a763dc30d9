"""Failed tasks by ground truth, and why they failed."""

from collections import Counter
from collections.abc import Container

from exporter.collect.collectors.reasons import reason_of
from exporter.mms.diagnosis.reason_rules import Reason
from exporter.mms.models.statuses import TASK_PHASES, TaskStatus
from exporter.simulator.oracle import Oracle

EXAMINED = 20
"""The default of failures.reasons.max_tasks."""


def failed_tasks(
    truth: Oracle, source_id: int, hidden_jobs: Container[int | None] = ()
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of failed tasks by phase, and of the newest ones by reason."""
    by_status = {TaskStatus(f"{phase}_FAILED"): phase for phase in TASK_PHASES}
    failed = [task for task in truth.tasks(source_id) if task.status in by_status and task.job_id not in hidden_jobs]
    statuses = Counter(task.status for task in failed)
    newest = sorted(failed, key=lambda task: task.id, reverse=True)[:EXAMINED]
    reasons = Counter(reason_of(truth.task_logs(source_id, task.id)) for task in newest)
    return {phase: statuses[status] for status, phase in by_status.items()}, {each: reasons[each] for each in Reason}
