"""Rows of the metric table for failed and watched tables and partitions."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from exporter.collect.snapshot import FailedUnit, FailedUnits, FailuresStats, PartitionStats, ReasonsStats, TableStats
from exporter.exposition.families.metric_types import (
    SOURCE_LABELS,
    Family,
    MetricGroup,
    Sample,
    by_status,
    in_status,
    one,
    source_label_values,
)
from exporter.exposition.text import label_value

_TABLE: Final = "of GetMmsTable."
_PARTITION: Final = "of GetMmsPartition."
_DESTINATION: Final = ("dst_project", "dst_schema", "dst_table")


def _table_labels(unit: FailedUnit) -> tuple[str | None, ...]:
    return unit.src_db, unit.table, unit.dst_project, unit.dst_schema, unit.dst_table


def _partition_labels(unit: FailedUnit) -> tuple[str | None, ...]:
    return unit.src_db, unit.table, unit.partition, unit.dst_project, unit.dst_schema, unit.dst_table


def _label_values(
    failures: FailedUnits | None, labels: Callable[[FailedUnit], tuple[str | None, ...]]
) -> Iterable[tuple[str | None, ...]]:
    return () if failures is None else map(labels, failures.newest)


def _omitted(part: FailuresStats) -> Iterator[Sample]:
    """Yield the number of failures without series of their own."""
    kinds = (("table", part.tables, _table_labels), ("partition", part.partitions, _partition_labels))
    for kind, failures, labels in kinds:
        if failures is not None:
            # Truncated label values can make two failures one series.
            series = {tuple(map(label_value, values)) for values in _label_values(failures, labels)}
            yield (kind,), failures.total - len(series)


FAILURES: Final[MetricGroup[FailuresStats]] = MetricGroup(
    part="failures",
    families=(
        Family(
            "mms_failed_table_info",
            "A failed table; the value is always 1. Read when the number of failed tables changes. API fields: dbName, "
            "name, dstProjectName, dstSchemaName, dstName of ListMmsTables.",
            lambda part: ((values, 1) for values in _label_values(part.tables, _table_labels)),
            ("src_db", "table", *_DESTINATION),
        ),
        Family(
            "mms_failed_partition_info",
            "A failed partition; the value is always 1. Read when the number of failed partitions changes. API fields: "
            "dbName, tableName, value, dstProjectName, dstSchemaName, dstTableName of ListMmsPartitions.",
            lambda part: ((values, 1) for values in _label_values(part.partitions, _partition_labels)),
            ("src_db", "table", "partition", *_DESTINATION),
        ),
        Family(
            "mms_failed_omitted",
            "Number of failed tables and partitions without series of their own, because failures.max_per_source was "
            "reached, another failure has the same labels, or MMS denies ListMmsPartitions or does not offer it.",
            _omitted,
            ("kind",),
        ),
    ),
)

REASONS: Final[MetricGroup[ReasonsStats]] = MetricGroup(
    part="reasons",
    families=(
        Family(
            "mms_failed_tasks",
            "Number of failed tasks by the phase in which they failed, retried ones included. Read when the number of "
            "failed tables or partitions changes; absent while that is 0. API field: total of ListMmsTasks.",
            lambda part: by_status(part.totals),
            ("phase",),
        ),
        Family(
            "mms_failed_task_reasons",
            "Number of the examined failed tasks by reason. Their logs are classified when the failed tables or "
            "partitions change. API field: msg of ListMmsTaskLogs.",
            lambda part: by_status(part.reasons or {}),
            ("reason",),
        ),
        Family(
            "mms_failed_tasks_examined",
            "Number of failed tasks with an examined log: the newest ones of tables that are FAILED or have FAILED "
            "partitions, at most failures.reasons.max_tasks.",
            lambda part: one(part.examined),
        ),
    ),
)

TABLE: Final[MetricGroup[TableStats]] = MetricGroup(
    part="table",
    labels=(*SOURCE_LABELS, "table_id", "src_db", "table"),
    label_values=lambda part: (
        *source_label_values(part),
        *(str(part.row.id), part.row.db_name or "", part.row.name or ""),
    ),
    families=(
        Family(
            "mms_table_info",
            f"A watched table; the value is always 1. API fields: dbName, name {_TABLE}",
            lambda _: one(1),
        ),
        Family(
            "mms_table_status",
            f"Current status of a watched table: 1 for the active status, 0 otherwise. API field: status {_TABLE}",
            lambda part: in_status(part.row.status),
            ("status",),
        ),
        Family(
            "mms_table_partitions",
            "Number of partitions of a watched table by migration status. API fields: partitionsDoing, partitionsDone, "
            f"partitionsFailed {_TABLE}",
            lambda part: by_status(
                {
                    "DOING": part.row.partitions_doing,
                    "DONE": part.row.partitions_done,
                    "FAILED": part.row.partitions_failed,
                }
            ),
            ("status",),
        ),
        Family(
            "mms_table_metadata_partitions",
            f"Number of partitions of a watched table found by metadata scans. API field: partitions {_TABLE}",
            lambda part: one(part.row.partitions),
        ),
        Family(
            "mms_table_size_bytes",
            f"Size of a watched table at the source, in bytes. API field: size {_TABLE}",
            lambda part: one(part.row.size),
        ),
        Family(
            "mms_table_rows",
            f"Number of rows of a watched table at the source. API field: numRows {_TABLE}",
            lambda part: one(part.row.num_rows),
        ),
        Family(
            "mms_table_last_ddl_timestamp_seconds",
            f"Unix time of the last DDL change of a watched table at the source. API field: lastDdlTime {_TABLE}",
            lambda part: one(part.last_ddl_at),
        ),
    ),
)

PARTITION: Final[MetricGroup[PartitionStats]] = MetricGroup(
    part="partition",
    labels=(*SOURCE_LABELS, "partition_id", "src_db", "table", "partition"),
    label_values=lambda part: (
        *source_label_values(part),
        *(str(part.row.id), part.row.db_name or "", part.row.table_name or "", part.row.value or ""),
    ),
    families=(
        Family(
            "mms_partition_info",
            f"A watched partition; the value is always 1. API fields: dbName, tableName, value {_PARTITION}",
            lambda _: one(1),
        ),
        Family(
            "mms_partition_status",
            "Current status of a watched partition: 1 for the active status, 0 otherwise. "
            f"API field: status {_PARTITION}",
            lambda part: in_status(part.row.status),
            ("status",),
        ),
        Family(
            "mms_partition_size_bytes",
            f"Size of a watched partition at the source, in bytes. API field: size {_PARTITION}",
            lambda part: one(part.row.size),
        ),
        Family(
            "mms_partition_rows",
            f"Number of rows of a watched partition at the source. API field: numRows {_PARTITION}",
            lambda part: one(part.row.num_rows),
        ),
        Family(
            "mms_partition_last_ddl_timestamp_seconds",
            "Unix time of the last DDL change of a watched partition at the source. "
            f"API field: lastDdlTime {_PARTITION}",
            lambda part: one(part.last_ddl_at),
        ),
    ),
)
