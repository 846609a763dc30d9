"""Rows of the metric table for the databases of a source."""

from typing import Final

from exporter.collect.snapshot import DatabasesStats
from exporter.exposition.families.metric_types import Family, MetricGroup, by_status, one
from exporter.exposition.text import label_value
from exporter.mms.models.records import Database

_DATABASES: Final = "of ListMmsDbs."


def _by_label(part: DatabasesStats) -> dict[str, Database]:
    """Return the databases with series; of equal labels, the largest."""
    found: dict[str, Database] = {}
    for each in part.databases:
        found.setdefault(label_value(each.name), each)
    return found


DATABASE: Final[MetricGroup[DatabasesStats]] = MetricGroup(
    part="databases",
    members=lambda part: (((each.name,), each) for each in _by_label(part).values()),
    member_labels=("src_db",),
    families=(
        Family(
            "mms_database_tables",
            "Number of tables of a source database by migration status. API fields: tablesDoing, tablesDone, "
            f"tablesPartDone, tablesFailed {_DATABASES}",
            lambda row: by_status(
                {
                    "DOING": row.tables_doing,
                    "DONE": row.tables_done,
                    "PART_DONE": row.tables_part_done,
                    "FAILED": row.tables_failed,
                }
            ),
            ("status",),
        ),
        Family(
            "mms_database_partitions",
            "Number of partitions of a source database by migration status. API fields: partitionsDoing, "
            f"partitionsDone, partitionsFailed {_DATABASES}",
            lambda row: by_status(
                {"DOING": row.partitions_doing, "DONE": row.partitions_done, "FAILED": row.partitions_failed}
            ),
            ("status",),
        ),
        Family(
            "mms_database_metadata_tables",
            f"Number of tables of a source database found by metadata scans. API field: tables {_DATABASES}",
            lambda row: one(row.tables),
        ),
        Family(
            "mms_database_metadata_partitions",
            f"Number of partitions of a source database found by metadata scans. API field: partitions {_DATABASES}",
            lambda row: one(row.partitions),
        ),
        Family(
            "mms_database_size_bytes",
            f"Size of a source database at the source, in bytes. API field: size {_DATABASES}",
            lambda row: one(row.size),
        ),
        Family(
            "mms_database_rows",
            f"Number of rows of a source database at the source. API field: numRows {_DATABASES}",
            lambda row: one(row.num_rows),
        ),
    ),
)

DATABASES: Final[MetricGroup[DatabasesStats]] = MetricGroup(
    part="databases",
    families=(
        Family(
            "mms_database_series_omitted",
            "Number of databases without series of their own, because databases.max_per_source was reached or another "
            "database has the same name.",
            lambda part: one(part.total - len(_by_label(part))),
        ),
    ),
)
