"""Records of timers, which are scheduled migrations, and of their logs."""

import re
from typing import Final

from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.records import Count
from exporter.mms.models.statuses import JobStatus, ScheduleType

MAX_EXAMINED: Final = 2_000
"""Characters of an action and a message that are examined."""
_SKIP: Final = re.compile(r"running or ready to run|pending or running|\bskip(?:s|ped)?\b|跳过", re.IGNORECASE)
"""Says that a timer skipped. UNVERIFIED: the words of MMS; a log of a skip settles it.

The first are those of the service's open ancestor (`JobProxy.newException`), where the log of a skip has the status
FAILED. The second are those of https://www.alibabacloud.com/help/en/maxcompute/user-guide/scheduled-tasks.
"""


class Timer(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsTimers: a schedule that creates migration jobs.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsTimers.
    """

    EXPECTED = ("name", "src_db_name", "schedule_type", "value", "stopped", "create_time")

    id: Count
    name: str | None = None
    src_db_name: str | None = None
    type: str | None = None
    """Database, Tables or Partitions."""
    schedule_type: ScheduleType | None = None
    value: str | None = None
    """`HH:MM` if the schedule is Daily, `MM` if it is Hourly. UNVERIFIED: in the account's time zone, as all times; a
    log of a live timer settles it."""
    stopped: bool | None = None
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""


class TimerLog(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsTimerLogs: what happened when a timer was due.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsTimerLogs.
    """

    EXPECTED = ("status", "create_time")

    id: Count
    """ID of the asynchronous task that creates the job. UNVERIFIED: whether two rows can have the same one."""
    status: JobStatus | None = None
    """Status of the created job. UNVERIFIED: whether it follows the job, or stays as it was at first."""
    action: str | None = None
    """Such as `start job`."""
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    msg: str | None = None
    """Free text, which may quote secrets."""

    @property
    def is_skip(self) -> bool:
        """Return whether no job was created because earlier work waits or runs."""
        return _SKIP.search(f"{self.action or ''}\n{self.msg or ''}"[:MAX_EXAMINED]) is not None
