"""Records of tasks and their logs."""

from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.records import Count
from exporter.mms.models.statuses import TaskStatus


class Task(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsTasks: one table or several of its partitions.

    Source: the vendor's SDK; no page has an example. UNVERIFIED: which fields may be missing. A live list settles it.
    """

    EXPECTED = ("job_id", "job_name", "src_db_name", "src_table_name", "status", "retried_times", "create_time")

    id: Count
    job_id: Count | None = None
    job_name: str | None = None
    src_db_name: str | None = None
    src_table_name: str | None = None
    table_id: Count | None = None
    type: str | None = None
    status: TaskStatus | None = None
    running: bool | None = None
    stopped: bool | None = None
    retried_times: Count | None = None
    """Number of retries. UNVERIFIED: that it is 0, not missing, without a retry."""
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    start_time: str | None = None
    """Format as create_time. Absent before the start."""
    end_time: str | None = None
    """Format as create_time. Absent before the end."""


class TaskLog(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsTaskLogs: a step of a task.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsTaskLogs.
    """

    EXPECTED = ("status", "create_time")

    id: Count
    task_id: Count | None = None
    source_id: Count | None = None
    action: str | None = None
    """What the task did, often SQL."""
    status: str | None = None
    """Status of the task after the action."""
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    msg: str | None = None
    """Free text, up to 64 KiB, which may quote secrets."""
