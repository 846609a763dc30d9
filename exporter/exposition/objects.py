"""The rows of the metric table about single tables and partitions: those that failed, and those that are watched."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from exporter.collect.snapshot import Failed, Failures, FailuresFigures, PartitionFigures, TableFigures
from exporter.exposition.family import Family, Part, Sample, by_status, in_status, one
from exporter.exposition.text import label_value
from exporter.mms.models import PARTITION_STATUSES, TABLE_STATUSES

_TABLE: Final = "of GetMmsTable, as of the last refresh."
_PARTITION: Final = "of GetMmsPartition, as of the last refresh."
_DESTINATION: Final = ("dst_project", "dst_schema", "dst_table")


def _table_labels(each: Failed) -> tuple[str | None, ...]:
    return each.src_db, each.table, each.dst_project, each.dst_schema, each.dst_table


def _partition_labels(each: Failed) -> tuple[str | None, ...]:
    return each.src_db, each.table, each.partition, each.dst_project, each.dst_schema, each.dst_table


def _named(
    failures: Failures | None, labels: Callable[[Failed], tuple[str | None, ...]]
) -> Iterable[tuple[str | None, ...]]:
    return () if failures is None else map(labels, failures.newest)


def _omitted(part: FailuresFigures) -> Iterator[Sample]:
    """Yield how many failures have no series: values that are cut can make two of them one."""
    kinds = (("table", part.tables, _table_labels), ("partition", part.partitions, _partition_labels))
    for kind, failures, labels in kinds:
        if failures is not None:
            series = {tuple(map(label_value, values)) for values in _named(failures, labels)}
            yield (kind,), failures.total - len(series)


FAILURES: Final[Part[FailuresFigures]] = Part(
    labels=("account", "source_id", "source"),
    label_values=lambda part: (part.name.account, str(part.name.source_id), part.name.source),
    families=(
        Family(
            "mms_failed_table_info",
            "A failed table: dbName, name and destination of ListMmsTables, as of the last refresh in which the number "
            "of failed tables moved.",
            lambda part: ((values, 1) for values in _named(part.tables, _table_labels)),
            ("src_db", "table", *_DESTINATION),
        ),
        Family(
            "mms_failed_partition_info",
            "A failed partition: dbName, tableName, value and destination of ListMmsPartitions, as of the last refresh "
            "in which the number of failed partitions moved.",
            lambda part: ((values, 1) for values in _named(part.partitions, _partition_labels)),
            ("src_db", "table", "partition", *_DESTINATION),
        ),
        Family(
            "mms_failed_omitted",
            "Failed tables and partitions without series of their own, as of the last refresh: max_per_source left "
            "them out, or their names are the same as another's.",
            _omitted,
            ("kind",),
        ),
    ),
)

TABLE: Final[Part[TableFigures]] = Part(
    labels=("account", "source_id", "source", "table_id", "src_db", "table"),
    label_values=lambda part: (
        *(part.name.account, str(part.name.source_id), part.name.source),
        *(str(part.table_id), part.src_db or "", part.table or ""),
    ),
    families=(
        Family("mms_table_info", f"A watched table: dbName and name {_TABLE}", lambda _: one(1)),
        Family(
            "mms_table_status",
            f"State of a watched table, 1 for the one that holds: status {_TABLE}",
            lambda part: in_status(part.status, TABLE_STATUSES),
            ("status",),
        ),
        Family(
            "mms_table_partitions",
            f"Partitions of a watched table by migration status: partitionsDoing, -Done, -Failed {_TABLE}",
            lambda part: by_status(
                {"DOING": part.partitions_doing, "DONE": part.partitions_done, "FAILED": part.partitions_failed}
            ),
            ("status",),
        ),
        Family(
            "mms_table_metadata_partitions",
            f"Partitions of a watched table in the inventory: partitions {_TABLE}",
            lambda part: one(part.metadata_partitions),
        ),
        Family("mms_table_size_bytes", f"Size of a watched table: size {_TABLE}", lambda part: one(part.size_bytes)),
        Family("mms_table_rows", f"Rows of a watched table: numRows {_TABLE}", lambda part: one(part.rows)),
        Family(
            "mms_table_last_ddl_timestamp_seconds",
            f"When a watched table was last changed in the source, in Unix seconds: lastDdlTime {_TABLE}",
            lambda part: one(part.last_ddl_at),
        ),
    ),
)

PARTITION: Final[Part[PartitionFigures]] = Part(
    labels=("account", "source_id", "source", "partition_id", "src_db", "table", "partition"),
    label_values=lambda part: (
        *(part.name.account, str(part.name.source_id), part.name.source),
        *(str(part.partition_id), part.src_db or "", part.table or "", part.partition or ""),
    ),
    families=(
        Family(
            "mms_partition_info",
            f"A watched partition: dbName, tableName and value {_PARTITION}",
            lambda _: one(1),
        ),
        Family(
            "mms_partition_status",
            f"State of a watched partition, 1 for the one that holds: status {_PARTITION}",
            lambda part: in_status(part.status, PARTITION_STATUSES),
            ("status",),
        ),
        Family(
            "mms_partition_size_bytes",
            f"Size of a watched partition: size {_PARTITION}",
            lambda part: one(part.size_bytes),
        ),
        Family(
            "mms_partition_rows",
            f"Rows of a watched partition: numRows {_PARTITION}",
            lambda part: one(part.rows),
        ),
        Family(
            "mms_partition_last_ddl_timestamp_seconds",
            f"When a watched partition was last changed in the source, in Unix seconds: lastDdlTime {_PARTITION}",
            lambda part: one(part.last_ddl_at),
        ),
    ),
)
