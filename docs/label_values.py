"""Generate the section "Label values" of docs/metrics.md."""

from collections.abc import Iterator, Mapping
from typing import Final

from exporter.errors import MmsError
from exporter.exposition.telemetry import OPERATIONS
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
    "failures": "Lists failed tables and partitions. `failures.enabled`, on by default.",
    "watch": "Reads the tables and partitions that `watch` names.",
    "tasks": "Counts tasks by status. `tasks.enabled`, off by default. Runs last.",
}
OPERATION_MEANINGS: Final = {
    "ListMmsDataSources": "collector `datasources`",
    "ListMmsJobs": "collector `jobs`",
    "ListMmsTasks": "collector `tasks`",
    "ListMmsDbs": "collector `databases`",
    "ListMmsTables": "collector `failures`; collector `watch`, to find a table by name",
    "ListMmsPartitions": "collector `failures`; collector `watch`, to find a partition by name",
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
    yield from _table("collector", ("value", "what it reads"), COLLECTOR_MEANINGS)
    yield from _table("operation", ("value", "called by"), {name: OPERATION_MEANINGS[name] for name in OPERATIONS})
    yield from _table("kind", ("value", "meaning"), KIND_MEANINGS)


def _reasons() -> dict[str, str]:
    leaves = MmsError.__subclasses__()
    return {leaf.reason: f"{REASON_MEANINGS[leaf.reason]} | {'yes' if leaf.retryable else 'no'}" for leaf in leaves}


def _table(label: str, head: tuple[str, ...], rows: Mapping[str, str]) -> Iterator[str]:
    yield f"### `{label}`\n"
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in rows.items())
    yield ""
