"""Statuses and types of MMS as enumerations; decoding a response normalises them. Pure."""

from enum import StrEnum
from typing import Final, Self

UNKNOWN: Final = "UNKNOWN"
"""Label value of a status that is missing or not known."""


class ApiEnum(StrEnum):
    """A text in upper case that should be one of the members.

    MMS adds values without notice: one that is no member has the name UNKNOWN and keeps its text as value.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        text = value.strip().upper() if isinstance(value, str) else ""
        if text in cls.__members__ or not text:
            return cls.__members__.get(text)
        unknown = str.__new__(cls, text)
        unknown._name_, unknown._value_ = UNKNOWN, text
        return unknown


class SourceType(ApiEnum):
    """Type of a data source; MMS spells it in varying case."""

    HIVE = "HIVE"
    BIGQUERY = "BIGQUERY"
    MAXCOMPUTE = "MAXCOMPUTE"
    DATABRICKS = "DATABRICKS"
    SNOWFLAKE = "SNOWFLAKE"
    REDSHIFT = "REDSHIFT"


class DataSourceStatus(ApiEnum):
    """Status of a data source."""

    STARTING = "STARTING"
    STARTED = "STARTED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    START_FAILED = "START_FAILED"
    STOP_FAILED = "STOP_FAILED"


STOPPED_STATUSES: Final = (DataSourceStatus.STOPPED, DataSourceStatus.STOPPING)
"""Decisions, not faults."""


class ScanStatus(ApiEnum):
    """Status of a metadata scan."""

    DOING = "DOING"
    DONE = "DONE"
    FAILED = "FAILED"


class JobStatus(ApiEnum):
    """Status of a job, and of the asynchronous task that creates it."""

    INIT = "INIT"
    DOING = "DOING"
    DONE = "DONE"
    FAILED = "FAILED"


class ScheduleType(ApiEnum):
    """How often a timer is due."""

    DAILY = "DAILY"
    HOURLY = "HOURLY"


class TableStatus(ApiEnum):
    """Status of a table."""

    INIT = "INIT"
    DOING = "DOING"
    DONE = "DONE"
    PART_DONE = "PART_DONE"
    FAILED = "FAILED"


class PartitionStatus(ApiEnum):
    """Status of a partition."""

    INIT = "INIT"
    DOING = "DOING"
    DONE = "DONE"
    FAILED = "FAILED"


class TaskStatus(ApiEnum):
    """Status of a task."""

    INIT = "INIT"
    SCHEMA_DOING = "SCHEMA_DOING"
    SCHEMA_DONE = "SCHEMA_DONE"
    SCHEMA_FAILED = "SCHEMA_FAILED"
    DATA_DOING = "DATA_DOING"
    DATA_DONE = "DATA_DONE"
    DATA_FAILED = "DATA_FAILED"
    VERIFICATION_DOING = "VERIFICATION_DOING"
    VERIFICATION_DONE = "VERIFICATION_DONE"
    VERIFICATION_FAILED = "VERIFICATION_FAILED"
    DONE = "DONE"


TASK_PHASES: Final = ("SCHEMA", "DATA", "VERIFICATION")
UNFINISHED_JOB_STATUSES: Final = (JobStatus.INIT, JobStatus.DOING)


def is_unknown(value: ApiEnum | None) -> bool:
    """Return whether this program does not know the value."""
    return value is not None and value.name == UNKNOWN
