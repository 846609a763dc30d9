"""The rows of the metric table about tasks: those of a source, and those of its unfinished jobs."""

from typing import Final

from exporter.collect.snapshot import TasksFigures
from exporter.exposition.family import Family, Part, by_status, one

_TASKS: Final = "of ListMmsTasks, as of the last refresh."
_SOURCE: Final = ("account", "source_id", "source")


def _source_labels(part: TasksFigures) -> tuple[str, ...]:
    return part.name.account, str(part.name.source_id), part.name.source


TASKS: Final[Part[TasksFigures]] = Part(
    labels=_SOURCE,
    label_values=_source_labels,
    families=(
        Family(
            "mms_tasks",
            f"Tasks of a data source by status, those of all its jobs: total {_TASKS}",
            lambda part: by_status(part.counts or {}),
            ("status",),
        ),
    ),
)

JOB_TASKS: Final[Part[TasksFigures]] = Part(
    labels=_SOURCE,
    label_values=_source_labels,
    member_labels=("job_id", "job_name"),
    members=lambda part: (((str(job.job_id), job.name), job) for job in part.jobs),
    families=(
        Family(
            "mms_job_tasks_by_status",
            f"Tasks of an unfinished job by status, which mms_tasks counts as well: status {_TASKS}",
            lambda job: by_status(job.counts),
            ("status",),
        ),
        Family(
            "mms_job_tasks_retried",
            "Tasks of an unfinished job that were tried again; absent for a job of more than ten pages of tasks: "
            f"retriedTimes {_TASKS}",
            lambda job: one(job.retried),
        ),
    ),
)
