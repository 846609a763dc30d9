"""Rows of answers, field by field as the vendor sends them, stray newlines included."""

import json
from typing import Any

from exporter.simulator.world.job_store import SimulatedJob, SimulatedTask
from exporter.simulator.world.plans import PARTITIONS, TABLES
from exporter.simulator.world.scans import MetadataScan
from exporter.simulator.world.source import Site
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.states import FAILED, Counts, database_status
from exporter.simulator.world.task_logs import task_logs

CANARY = "canary"
"""Prefix of every secret in a source's `config` and in messages of task logs; it must appear nowhere else."""

_WITH_NEWLINE = frozenset(
    {"networklink", "lastUpdateTime", "createTime", "errMsg", "owner", "location", "inputFormat", "outputFormat"}
    | {"serde", "extra", "lastDdlTime"},
)
"""Fields that end in a newline in the vendor's examples."""
_HIVE_FORMAT = "org.apache.hadoop.hive.ql.io.parquet"
_SCAN_ERROR = "the metastore did not answer"
_DST_PROJECT = "mms_dst"
_DST_SCHEMA = "default"


def as_sent(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without absent fields, with the vendor's newlines."""
    return {
        name: f"{value}\n" if name in _WITH_NEWLINE and isinstance(value, str) else value
        for name, value in row.items()
        if value is not None
    }


def source_facts(site: Site, at: SourceTime) -> dict[str, Any]:
    """Return a data source row without counters and configuration."""
    scan_id, scan_status, scanned = site.scan(at)
    facts = {
        "id": site.id,
        "region": site.region,
        "name": site.source.name,
        "dstProject": _DST_PROJECT,
        "dstProjects": [_DST_PROJECT, f"{_DST_PROJECT}_{site.source.index % 3}"],
        "type": site.source.type,
        "networklink": f"vpc-2ze{site.id:07d}:{site.region}",
        "lastUpdateTime": None if scanned is None else site.time(scanned),
        "createTime": site.time(site.created()),
        "agentIsOnline": site.agent_is_online(at),
        "scanId": scan_id or None,
        "scanStatus": scan_status,
        "scanErrMsg": _SCAN_ERROR if scan_status == FAILED else None,
    }
    return {**site.with_texts("source", site.id, facts), "status": site.status(at), "errMsg": site.err_msg(at)}


def data_source(site: Site, at: SourceTime) -> dict[str, Any]:
    """Return a row of ListMmsDataSources."""
    databases, tables, partitions, counts = site.inventory.totals(at.moment)
    return as_sent(source_facts(site, at)) | {
        "dbNum": databases,
        "tableNum": tables,
        "partitionNum": partitions,
        "config": _config(site),
        "tablesDoingNum": counts.tables_doing,
        "tablesDoneNum": counts.tables_done,
        "tablesPartDoneNum": counts.tables_part_done,
        "tablesFailedNum": counts.tables_failed,
        "partitionsDoingNum": counts.partitions_doing,
        "partitionsDoneNum": counts.partitions_done,
        "partitionsFailedNum": counts.partitions_failed,
    }


def _config(site: Site) -> list[dict[str, Any]]:
    prefix = site.source.type.lower()
    item = {"desc": "配置\n", "placeHolder": "\n", "required": True, "group": "basic_group"}
    secrets = (("password", "password", ""), ("keytab", "file", ".keytab"), ("jdbc.url", "string", ""))
    return [
        {
            **item,
            "name": f"{key}\n",
            "key": f"{prefix}.{key}\n",
            "type": kind,
            "subType": sub_type,
            "value": f"{CANARY}-{key}-{site.id}\n",
            "enums": [],
        }
        for key, kind, sub_type in secrets
    ]


def scan(site: Site, scan_id: int, scan: MetadataScan, at: SourceTime) -> dict[str, Any]:
    """Return GetMmsFetchMetadataJob's data."""
    status, share = scan.status(at.moment), scan.share(at.moment)
    databases, tables, partitions, _ = site.inventory.totals(min(at.moment, scan.end))
    found = {"databases": databases, "tables": tables, "partitions": partitions}
    error = f"{_SCAN_ERROR}: jdbc:mysql://mms:{CANARY}-scan-{site.id}@10.0.3.7:3306/hive" if status == FAILED else ""
    row = {
        "id": scan_id,
        "sourceId": site.id,
        "status": status,
        "progress": scan.progress(at.moment),
        "result": json.dumps({name: int(share * count) for name, count in found.items()}),
        "errorMsg": error,
        "startTime": site.time(scan.begin),
        "endTime": None if at.moment < scan.end else site.time(scan.end),
    }
    return as_sent(site.with_texts("scan", scan_id, site.with_texts("scan", 0, row)))


def database_facts(site: Site, database: int, at: SourceTime) -> dict[str, Any]:
    """Return a database row without its status, counters and volume."""
    touched = site.inventory.touched
    name = site.source.database_name(database)
    facts = {
        "id": database,
        "name": name,
        "sourceId": site.id,
        "sourceName": site.source.name,
        "dstProjectName": _DST_PROJECT,
        "dstName": _DST_SCHEMA,
        "owner": "hive",
        "location": f"hdfs://master-1-1.{site.source.name}:9000/user/hive/warehouse/{name}.db",
        "extra": "{}",
        "createTime": site.time(site.created()),
        "lastDdlTime": site.last_ddl(database, 0),
        "updated": any(
            site.inventory.updated(table, at.moment)
            for table in touched
            if site.inventory.database(table, at.moment) == database
        ),
        "deleted": False,
    }
    return site.with_texts("database", database, facts)


def databases(site: Site, at: SourceTime) -> list[dict[str, Any]]:
    """Return the rows of ListMmsDbs, ascending by id."""
    volumes = site.database_volumes(at.moment)
    return [
        as_sent(database_facts(site, database, at))
        | _database_counters(*totals)
        | dict(zip(("size", "numRows"), volumes[database], strict=True))
        for database, totals in site.inventory.database_totals(at.moment).items()
    ]


def _database_counters(tables: int, partitions: int, counts: Counts) -> dict[str, Any]:
    return {
        "status": database_status(tables, counts),
        "tables": tables,
        "tablesDoing": counts.tables_doing,
        "tablesDone": counts.tables_done,
        "tablesPartDone": counts.tables_part_done,
        "tablesFailed": counts.tables_failed,
        "partitions": partitions,
        "partitionsDoing": counts.partitions_doing,
        "partitionsDone": counts.partitions_done,
        "partitionsFailed": counts.partitions_failed,
    }


def job_facts(site: Site, job: SimulatedJob, at: SourceTime) -> dict[str, Any]:
    """Return a job row without the fields computed from tasks."""
    three_layers = site.source.type.upper() == "MAXCOMPUTE"
    facts = {
        "id": job.id,
        "name": site.job_name(job),
        "sourceId": site.id,
        "dbId": job.database,
        "sourceName": site.source.name,
        "srcDbName": site.source.database_name(job.database),
        "srcSchemaName": "default" if three_layers else None,
        "dstDbName": job.request.get("dstDbName", _DST_PROJECT),
        "dstSchemaName": job.request.get("dstSchemaName", _DST_SCHEMA),
        "type": job.plan.kind,
        "stopped": job.stopped(at.moment),
        "createTime": site.job_time(job),
        "eta": site.job_eta(job),
    }
    return site.with_texts("job", job.id, facts)


def job(site: Site, job: SimulatedJob, at: SourceTime) -> dict[str, Any]:
    """Return a row of ListMmsJobs."""
    return as_sent(job_facts(site, job, at)) | {
        "status": job.status(at.moment),
        "taskNum": len(job.plan.tasks),
        "taskDone": job.tasks_done(at.moment),
        "config": _job_config(site, job),
    }


def _job_config(site: Site, job: SimulatedJob) -> dict[str, Any]:
    tables = [site.table_name(table) for table in job.tables()] if job.plan.kind == TABLES else None
    partitions = None
    if job.plan.kind == PARTITIONS and "partitionFilters" not in job.request:
        pieces = ((job.first_table + task.table, task.units) for task in job.plan.tasks)
        partitions = [site.partition_id(table, unit) for table, units in pieces for unit in units]
    scope = {"tables": tables, "partitions": partitions}
    config = {
        "taskType": {"MAXCOMPUTE": "COPY_TASK", "BIGQUERY": "BIGQUERY"}.get(site.source.type, "HIVE"),
        "schemaOnly": False,
        "increment": job.created < 0,
        "enableVerification": True,
        "tunnelQuota": "",
        "others": {},
    }
    given = {name: value for name, value in job.request.items() if name not in {"dstDbName", "dstSchemaName"}}
    return config | {name: value for name, value in scope.items() if value is not None} | given


def task(site: Site, job: SimulatedJob, task: SimulatedTask) -> dict[str, Any]:
    """Return a row of ListMmsTasks."""
    begun = job.created + task.plan.start
    started = task.status != "INIT"
    ended = task.status == "DONE" or task.status.endswith("_FAILED")
    row = {
        "id": task.id,
        "sourceId": site.id,
        "sourceName": site.source.name,
        "jobId": job.id,
        "jobName": site.job_name(job),
        "dbId": job.database,
        "srcDbName": site.source.database_name(job.database),
        "srcTableName": site.table_name(task.table),
        "tableId": task.table,
        "dstDbName": job.request.get("dstDbName", _DST_PROJECT),
        "dstSchemaName": job.request.get("dstSchemaName", _DST_SCHEMA),
        "dstTableName": site.table_name(task.table),
        "type": "HIVE",
        "status": task.status,
        "running": started and not ended,
        "stopped": job.stopped_at is not None,
        "retriedTimes": task.plan.retried,
        "createTime": site.job_time(job),
        "startTime": site.time(begun) if started else None,
        "endTime": site.time(job.created + task.plan.end) if ended else None,
    }
    return as_sent(row)


def logs(site: Site, job: SimulatedJob, task: SimulatedTask) -> list[dict[str, Any]]:
    """Return the rows of ListMmsTaskLogs."""
    project = job.request.get("dstDbName", _DST_PROJECT)
    return [as_sent(row) for row in task_logs(site, job, task, project, f"{CANARY}-log-{site.id}")]


def table_facts(site: Site, table: int, at: SourceTime) -> dict[str, Any]:
    """Return a table row without its status and counters."""
    plan = site.inventory.plan(table, at.moment)
    size, rows = site.volume(table, 0, plan.units if plan else 1)
    database, name = site.inventory.database(table, at.moment), site.table_name(table)
    facts = {
        "id": table,
        "dbId": database,
        "dbName": site.source.database_name(database),
        "name": name,
        "dstProjectName": _DST_PROJECT,
        "dstSchemaName": _DST_SCHEMA,
        "dstName": name,
        "type": "MANAGED_TABLE",
        "hasPartitions": bool(plan and plan.partitions),
        "schema": _schema(site, table, name, partitioned=bool(plan and plan.partitions)),
        "owner": "hive",
        "location": f"hdfs://master-1-1.{site.source.name}:9000/user/hive/warehouse/{name}",
        "inputFormat": f"{_HIVE_FORMAT}.MapredParquetInputFormat",
        "outputFormat": f"{_HIVE_FORMAT}.MapredParquetOutputFormat",
        "serde": f"{_HIVE_FORMAT}.serde.ParquetHiveSerDe",
        "extra": '{"field.delim":"|"}',
        "partitions": plan.partitions if plan else 0,
        "sourceId": site.id,
        "sourceName": site.source.name,
        "size": size,
        "numRows": rows,
        "updated": bool(site.inventory.updated(table, at.moment)),
        "lastDdlTime": site.last_ddl(table, 0),
    }
    return site.with_texts("table", table, facts)


def table(site: Site, table: int, at: SourceTime) -> dict[str, Any]:
    """Return GetMmsTable's data, or a row of ListMmsTables."""
    tally = site.inventory.tally(table, at.moment)
    return as_sent(table_facts(site, table, at)) | {
        "partitionsDoing": tally.doing,
        "partitionsDone": tally.done,
        "partitionsFailed": tally.failed,
        "status": tally.status,
    }


def _schema(site: Site, table: int, name: str, *, partitioned: bool) -> dict[str, Any]:
    columns = (("id", "bigint"), ("name", "string"), ("amount", "double"))
    keys = site.partition_keys(table) if partitioned else ()
    return {
        "name": name,
        "comment": f"{name} of {site.source.name}",
        "columns": [{"name": column, "type": kind, "comment": "", "nullable": True} for column, kind in columns],
        "partitions": [{"name": key, "type": "string", "comment": "", "nullable": False} for key in keys],
    }


def partition_facts(site: Site, table: int, unit: int, at: SourceTime) -> dict[str, Any]:
    """Return a partition row without its status."""
    database, name = site.inventory.database(table, at.moment), site.table_name(table)
    number, value = site.partition_id(table, unit), site.partition_value(table, unit)
    size, rows = site.volume(table, unit, 1)
    facts = {
        "id": number,
        "dbId": database,
        "tableId": table,
        "dbName": site.source.database_name(database),
        "tableName": name,
        "value": value,
        "dstProjectName": _DST_PROJECT,
        "dstSchemaName": _DST_SCHEMA,
        "dstTableName": name,
        "dstValue": value,
        "sourceId": site.id,
        "sourceName": site.source.name,
        "size": size,
        "numRows": rows,
        "updated": unit in site.inventory.updated(table, at.moment),
        "lastDdlTime": site.last_ddl(table, unit),
    }
    return site.with_texts("partition", number, facts)


def partition(site: Site, table: int, unit: int, at: SourceTime) -> dict[str, Any]:
    """Return GetMmsPartition's data, or a row of ListMmsPartitions."""
    status = site.inventory.unit_status(table, unit, at.moment)
    row = as_sent(partition_facts(site, table, unit, at))
    return row | {"value": f"{row['value']}\n", "status": status}
