"""Rows of the metric table for tasks of data sources and of unfinished jobs."""

from typing import Final

from exporter.collect.snapshot import TasksStats
from exporter.exposition.families.metric_types import Family, MetricGroup, by_status, one

_TASKS: Final = "of ListMmsTasks."

TASKS: Final[MetricGroup[TasksStats]] = MetricGroup(
    part="tasks",
    families=(
        Family(
            "mms_tasks",
            f"Number of tasks of all jobs of the data source by status. API field: total {_TASKS}",
            lambda part: by_status(part.counts or {}),
            ("status",),
        ),
    ),
)

JOB_TASKS: Final[MetricGroup[TasksStats]] = MetricGroup(
    part="tasks",
    member_labels=("job_id", "job_name"),
    members=lambda part: (((str(job.job_id), job.name), job) for job in part.jobs),
    families=(
        Family(
            "mms_job_tasks_by_status",
            f"Number of tasks of an unfinished job by status; mms_tasks also counts them. API field: status {_TASKS}",
            lambda job: by_status(job.counts),
            ("status",),
        ),
        Family(
            "mms_job_tasks_retried",
            "Number of tasks of an unfinished job that were retried. Absent for a job with over 10 pages of tasks. "
            f"API field: retriedTimes {_TASKS}",
            lambda job: one(job.retried),
        ),
    ),
)
