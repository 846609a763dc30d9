"""The vendor's example responses and their records."""

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.mms.decoding import Decoded, Page
from exporter.mms.models.records import (
    AsyncTask,
    Column,
    CreatedJob,
    Database,
    DataSource,
    Job,
    JobConfig,
    Partition,
    Table,
    TableSchema,
)
from exporter.mms.models.statuses import (
    DataSourceStatus,
    JobStatus,
    PartitionStatus,
    ScanStatus,
    ScheduleType,
    SourceType,
    TableStatus,
    TaskStatus,
)
from exporter.mms.models.task_records import Task
from exporter.mms.models.timer_records import Timer, TimerLog
from exporter.mms.protocol import (
    Call,
    JobFilter,
    JobRequest,
    TaskFilter,
    create_mms_job,
    decode,
    get_mms_async_task,
    get_mms_fetch_metadata_job,
    get_mms_partition,
    get_mms_table,
    list_mms_data_sources,
    list_mms_dbs,
    list_mms_jobs,
    list_mms_task_logs,
    list_mms_tasks,
    list_mms_timer_logs,
    list_mms_timers,
)
from tests.mms.conftest import SAMPLES, sample

VENDORS_SHA256 = {
    "CreateMmsJob": "584270c7d791859f09f1bc361025778c23078e1e5dc176748b87bbfc25a46a66",
    "GetMmsPartition": "ac79783eaa13bc64ea9840c6aff05c6c9f4ef641521a18bfa4599307bae42122",
    "GetMmsTable": "e31866b956eaeab39a7dc01a2827d8c633b337a1aeccec12c0941c7367a78fdc",
    "ListMmsDataSources": "1d3d6d3e19ee797aa79f6623f9f3689f29d0032574c73a71a19e8dc0979e5a5d",
    "ListMmsJobs": "5f7d8b169327a23531376d3ec6f074cecf5ed30085a68f1617f3f25c76229054",
}

DATA_SOURCE = DataSource(
    id=2000015,
    name="demo",
    type=SourceType.BIGQUERY,
    region="cn-beijing",
    dst_project="mms_test",
    dst_projects=("mms_test",),
    networklink="vpc-2zebqp6uojhdla46677tl:cn-beijing",
    create_time="2024-12-17 09:29:58",
    last_update_time="2024-12-17 15:44:17",
    status=DataSourceStatus.STARTED,
    err_msg="unexpected exception",
    agent_is_online=True,
    db_num=3,
    table_num=1000,
    partition_num=10000000,
    tables_doing_num=18,
    tables_done_num=2323,
    tables_part_done_num=22,
    tables_failed_num=2,
    partitions_doing_num=2332,
    partitions_done_num=23,
    partitions_failed_num=2323,
    scan_id=1000253,
    scan_status=None,
)
JOB = Job(
    id=18,
    name="migrate_db_1",
    source_id=2000015,
    source_name="demo",
    db_id=196,
    src_db_name="test_db_1",
    src_schema_name="test_table_1",
    dst_db_name="mms_test",
    dst_schema_name="test_table_1",
    status=JobStatus.DONE,
    type="Tables",
    task_num=10,
    task_done=10,
    stopped=False,
    create_time="2024-12-17 15:44:17",
    eta=None,
    config=JobConfig(
        task_type=None,
        partitions=(0,),
        tables=("",),
        table_black_list=("",),
        table_white_list=("",),
        partition_filters={"key": ""},
        schema_only=False,
        table_mapping={"key": ""},
        increment=False,
        enable_schema_migration=None,
        enable_data_migration=None,
        enable_verification=False,
        tunnel_quota=None,
        column_mapping={"key": ""},
    ),
)
TABLE = Table(
    id=22,
    db_id=3,
    db_name="mms_test",
    name="test",
    dst_project_name="mms_test",
    dst_schema_name="default",
    dst_name="test",
    type="MANAGED_TABLED",
    has_partitions=True,
    schema=TableSchema(
        name="test",
        comment="for mms test",
        columns=(Column(name="user_id", type="bigint", comment="user id", default_value="10", nullable=False),),
        partitions=(
            Column(name="p1", type="string", comment="first partition level", default_value="abc", nullable=False),
        ),
    ),
    owner="Hive",
    location="| hdfs://master-1-1.c-c127cd184bb029ea.cn-zhangjiakou.emr.aliyuncs.com:9000/user/hive/warehouse/demo",
    input_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    output_format="org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    serde="org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    extra='{"mapkey.delim":":","collection.delim":",","serialization.format":"|","field.delim":"|"}',
    partitions=100,
    partitions_doing=20,
    partitions_done=80,
    partitions_failed=0,
    source_id=2000028,
    source_name="demo",
    size=23232,
    num_rows=233232,
    updated=False,
    last_ddl_time="2024-12-17 15:44:42",
    status=TableStatus.DONE,
)
PARTITION = Partition(
    id=2323,
    db_id=0,
    table_id=23,
    db_name="d1",
    table_name="t1",
    value="p1=1/p2=abc",
    dst_project_name="mms_test",
    dst_schema_name="default",
    dst_table_name="test",
    dst_value="p1=1/p2=abc",
    source_id=200018,
    source_name="demo",
    size=12323,
    num_rows=2323,
    updated=False,
    last_ddl_time="2024-12-17 15:44:42",
    status=PartitionStatus.DONE,
)
TASK = Task(
    id=1800001,
    job_id=18,
    job_name="migrate_db_1",
    src_db_name="test_db_1",
    src_table_name="test_table_1",
    table_id=22,
    type="HIVE",
    status=TaskStatus.DATA_FAILED,
    running=False,
    stopped=False,
    retried_times=2,
    create_time="2024-12-17 15:44:17",
    start_time="2024-12-17 15:44:42",
    end_time="2024-12-17 15:50:00",
)
DATABASE = Database(
    id=196,
    name="test_db_1",
    dst_project_name="mms_test",
    dst_name="test_db_1",
    status=TableStatus.PART_DONE,
    tables=900,
    tables_doing=18,
    tables_done=800,
    tables_part_done=22,
    tables_failed=2,
    partitions=9_000_000,
    partitions_doing=2332,
    partitions_done=23,
    partitions_failed=2323,
    size=100 * 2**40,
    num_rows=250_000_000_000,
    deleted=False,
)
TIMER = Timer(
    id=18,
    name="migrate_db_1",
    src_db_name="db_1",
    type="TABLES",
    schedule_type=ScheduleType.DAILY,
    value="00:00",
    stopped=False,
    create_time="2024-12-17 09:29:58",
)
TIMER_LOG = TimerLog(
    id=1003476,
    status=JobStatus.DOING,
    action="start job",
    msg="start job success",
    create_time="2024-12-17 15:44:17",
)
EXAMPLES: list[tuple[Call[Any], object]] = [
    (list_mms_data_sources(1), Page((DATA_SOURCE,), 9)),
    (list_mms_jobs(2000015, JobFilter(), 1), Page((JOB,), 100)),
    (get_mms_table(12323, 22), TABLE),
    (get_mms_partition(200018, 2323), PARTITION),
    (create_mms_job(2000015, JobRequest()), CreatedJob(async_task_id=0)),
]


@pytest.mark.parametrize("operation", VENDORS_SHA256)
def test_the_vendor_samples_are_unchanged(operation: str) -> None:
    assert hashlib.sha256(sample(operation)).hexdigest() == VENDORS_SHA256[operation]


def test_the_readme_has_the_origin_of_each_sample() -> None:
    told = set(re.findall(r"^\| `([^`]+)`", (SAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    kept = {f"{path.parent.name}/{path.name}" for path in SAMPLES.glob("*/*.*")}
    assert {name if name in told else f"<Operation>/{Path(name).name}" for name in kept} == told


@pytest.mark.parametrize(("call", "expected"), EXAMPLES, ids=lambda value: getattr(value, "operation", ""))
def test_the_vendor_samples_decode_without_losses(call: Call[Any], expected: object) -> None:
    """Fields that the examples omit are optional."""
    assert decode(call, 200, {}, sample(call.operation)) == Decoded(expected, ())


@pytest.mark.parametrize(("call", "_"), EXAMPLES, ids=lambda value: getattr(value, "operation", ""))
def test_texts_of_samples_have_no_trailing_newline(call: Call[Any], _: object) -> None:
    assert rb"\n" in sample(call.operation) or call.operation == "CreateMmsJob"
    decoded = decode(call, 200, {}, sample(call.operation)).value
    texts = msgspec.json.encode(decoded)
    assert rb"\n" not in texts


def test_the_metadata_scan_of_newer_versions_is_decoded() -> None:
    call = list_mms_data_sources(1)
    expected = msgspec.structs.replace(DATA_SOURCE, scan_status=ScanStatus.FAILED)
    assert decode(call, 200, {}, sample(call.operation, "scan")) == Decoded(Page((expected,), 1), ())


def test_a_task_row_decodes_without_losses() -> None:
    call = list_mms_tasks(2000015, TaskFilter(job_id=18), 1)
    assert decode(call, 200, {}, sample(call.operation, "listed")) == Decoded(Page((TASK,), 1), ())


def test_the_rows_of_a_task_log_decode_without_losses() -> None:
    call = list_mms_task_logs(2000015, 1800001)
    decoded = decode(call, 200, {}, sample(call.operation, "listed"))
    assert [(row.id, row.status, row.create_time) for row in decoded.value] == [
        (10000, "SCHEMA_DONE", "2024-12-17 15:44:00"),
        (10001, "DATA_FAILED", "2024-12-17 15:50:00"),
    ]
    assert decoded.unexpected == ()


def test_database_rows_decode_without_losses() -> None:
    call = list_mms_dbs(2000015, 1)
    decoded = decode(call, 200, {}, sample(call.operation, "listed"))
    assert (decoded.value.rows[0], decoded.value.total, decoded.unexpected) == (DATABASE, 2, ())
    assert (decoded.value.rows[1].size, decoded.value.rows[1].num_rows) == (None, None)


def test_timers_and_their_logs_decode_without_losses() -> None:
    timers = decode(list_mms_timers(2000015, 1), 200, {}, sample("ListMmsTimers", "listed"))
    assert (timers.value.rows[0], timers.value.total, timers.unexpected) == (TIMER, 2, ())
    logs = decode(list_mms_timer_logs(2000015, 18, 1), 200, {}, sample("ListMmsTimerLogs", "listed"))
    assert (logs.value.rows[0], logs.value.total, logs.unexpected) == (TIMER_LOG, 2, ())
    assert [row.is_skip for row in logs.value.rows] == [False, True]


def test_a_finished_async_task_has_its_job_id() -> None:
    call = get_mms_async_task(2000015, 9000001)
    expected = AsyncTask(status=JobStatus.DONE, running=False, progress=100, error_msg=None, object_id=42)
    assert decode(call, 200, {}, sample(call.operation, "done")) == Decoded(expected, ())


def test_a_running_metadata_scan_has_its_progress() -> None:
    call = get_mms_fetch_metadata_job(2000015, 1000254)
    decoded = decode(call, 200, {}, sample(call.operation, "doing"))
    assert (decoded.value.status, decoded.value.ratio, decoded.unexpected) == (ScanStatus.DOING, 0.425, ())
    assert msgspec.structs.replace(decoded.value, status=ScanStatus.FAILED).ratio is None
