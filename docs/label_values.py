"""Generate the section "Label values" of docs/metrics.md."""

from collections.abc import Iterator, Mapping
from typing import Final

from exporter.errors import MmsError
from exporter.exposition.telemetry import OPERATIONS
from exporter.mms.diagnosis.reason_rules import RULES, UNKNOWN_RULE, Reason
from exporter.mms.models.statuses import (
    DataSourceStatus,
    JobStatus,
    PartitionStatus,
    ScanStatus,
    TableStatus,
    TaskStatus,
)

HEAD: Final = """
## Label values

These labels have a closed set of values. MMS can add a status at any time; a status that the exporter does not know is
`UNKNOWN`.
"""

COLLECTOR_MEANINGS: Final = {
    "datasources": "Lists the data sources with their counters. Runs first.",
    "jobs": "Lists the jobs of each data source. `jobs.enabled`, on by default.",
    "databases": "Lists the databases of each data source whose row changed. `databases.enabled`, on by default.",
    "scan": "Reads the progress of running metadata scans, and the number of outdated partitions after each scan and "
    "once an hour. `scan.enabled`, on by default.",
    "failures": "Lists failed tables and partitions. `failures.enabled`, on by default.",
    "reasons": "Classifies the logs of failed tasks. `failures.reasons.enabled`, on by default.",
    "timers": "Lists timers, and the logs of those that were due. `timers.enabled`, on by default.",
    "watch": "Reads the tables and partitions that `watch` names.",
    "tasks": "Counts tasks by status. `tasks.enabled`, off by default. Runs last.",
}
OPERATION_MEANINGS: Final = {
    "ListMmsDataSources": "collector `datasources`",
    "ListMmsJobs": "collector `jobs`",
    "ListMmsTasks": "collector `tasks`; collector `reasons`, to find failed tasks",
    "ListMmsTaskLogs": "collector `reasons`",
    "ListMmsTimers": "collector `timers`",
    "ListMmsTimerLogs": "collector `timers`",
    "ListMmsDbs": "collector `databases`",
    "ListMmsTables": "collector `failures`; collector `watch`, to find a table by name",
    "ListMmsPartitions": "collector `failures`; collector `scan`; collector `watch`, to find a partition by name",
    "GetMmsFetchMetadataJob": "collector `scan`, while a metadata scan runs",
    "GetMmsTable": "collector `watch`",
    "GetMmsPartition": "collector `watch`; collector `failures`, where ListMmsPartitions is not permitted",
}
REASON_MEANINGS: Final = {
    "throttled": "MMS rejected the request because of too many requests.",
    "auth": "MMS rejected the AccessKey, the security token, the signature or the clock.",
    "permission": "The RAM identity has no permission for the operation.",
    "unsupported": "MMS does not offer the operation in this region or version.",
    "not_found": "The object does not exist in this account and region.",
    "timeout": "No complete response within the timeout.",
    "connection": "DNS, TCP or TLS failed, or the connection was reset.",
    "server": "MMS or a gateway returned a server error.",
    "malformed": "The response does not have the documented format.",
    "too_large": "The response exceeds the size limit of the exporter.",
    "credentials": "The exporter found no credentials. No request was sent.",
    "rejected": "MMS rejected the request for another reason.",
}
FAILURE_MEANINGS: Final = {
    Reason.PERMISSION: "An identity lacks a privilege at the source or destination, or its credentials are invalid.",
    Reason.QUOTA: "A limit on slots, storage, partitions or requests a day is used up.",
    Reason.NETWORK: "A connection could not be opened, or broke.",
    Reason.TIMEOUT: "A request, session or job took too long.",
    Reason.SOURCE_MISSING: "A table, partition, file or project does not exist, in most cases at the source.",
    Reason.DESTINATION_CONFLICT: "The destination exists already, has other columns, or is written by another job.",
    Reason.SCHEMA_UNSUPPORTED: "MaxCompute or MMS does not support a type, format, name or feature of the table.",
    Reason.DATA_FORMAT: "A value or file cannot be read or converted.",
    Reason.VERIFICATION_MISMATCH: "The data arrived, and the row counts of source and destination differ.",
    Reason.RESOURCE: "Memory, disk or compute units ran out.",
    Reason.THROTTLED: "A service rejected requests because of too many at a time.",
    Reason.INTERNAL: "An error inside MaxCompute, MMS or Spark.",
    Reason.UNKNOWN: "No rule matches the message, or the log has none.",
}
PHASE_MEANINGS: Final = {
    "SCHEMA": "Creating the destination table.",
    "DATA": "Copying the data.",
    "VERIFICATION": "Comparing source and destination.",
}
KIND_MEANINGS: Final = {"table": "A table.", "partition": "A partition."}

_UNKNOWN: Final = "UNKNOWN"
_PARTITION_COUNTS: Final = ("DOING", "DONE", "FAILED")
_TABLE_COUNTS: Final = ("DOING", "DONE", "PART_DONE", "FAILED")
STATUSES: Final = {
    "mms_datasource_status": (*DataSourceStatus, _UNKNOWN),
    "mms_metadata_scan_status": (*ScanStatus, _UNKNOWN),
    "mms_tables": _TABLE_COUNTS,
    "mms_partitions": _PARTITION_COUNTS,
    "mms_database_tables": _TABLE_COUNTS,
    "mms_database_partitions": _PARTITION_COUNTS,
    "mms_jobs": (*JobStatus, _UNKNOWN),
    "mms_job_status": (*JobStatus, _UNKNOWN),
    "mms_timer_last_run_status": (*JobStatus, _UNKNOWN),
    "mms_tasks": tuple(TaskStatus),
    "mms_job_tasks_by_status": (*TaskStatus, _UNKNOWN),
    "mms_table_status": (*TableStatus, _UNKNOWN),
    "mms_table_partitions": _PARTITION_COUNTS,
    "mms_partition_status": (*PartitionStatus, _UNKNOWN),
}
"""The statuses of each metric with the label `status`."""


def label_values() -> Iterator[str]:
    """Yield the lines of the section."""
    yield HEAD
    statuses = {metric: ", ".join(f"`{status}`" for status in values) for metric, values in STATUSES.items()}
    yield from _table("status", ("metric", "values"), statuses)
    yield from _table("reason", ("value", "meaning", "retried"), _reasons())
    yield from _table("reason` of `mms_failed_task_reasons", ("value", "meaning", "first step"), _failure_reasons())
    yield from _table("phase", ("value", "a task failed while"), PHASE_MEANINGS)
    yield from _table("collector", ("value", "what it reads"), COLLECTOR_MEANINGS)
    yield from _table("operation", ("value", "called by"), {name: OPERATION_MEANINGS[name] for name in OPERATIONS})
    yield from _table("kind", ("value", "meaning"), KIND_MEANINGS)


def _reasons() -> dict[str, str]:
    leaves = MmsError.__subclasses__()
    return {leaf.reason: f"{REASON_MEANINGS[leaf.reason]} | {'yes' if leaf.retryable else 'no'}" for leaf in leaves}


def _failure_reasons() -> dict[str, str]:
    hints = {rule.reason: rule.hint for rule in (*RULES, UNKNOWN_RULE)}
    return {reason.value: f"{FAILURE_MEANINGS[reason]} | {hints[reason]}" for reason in Reason}


def _table(label: str, head: tuple[str, ...], rows: Mapping[str, str]) -> Iterator[str]:
    yield f"### `{label}`\n"
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in rows.items())
    yield ""
