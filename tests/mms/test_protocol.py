"""Request of each operation and error of each error response."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import (
    AuthRefused,
    CallTimedOut,
    MalformedAnswer,
    MmsError,
    NotFound,
    OperationUnsupported,
    PermissionRefused,
    RequestRejected,
    ServerFailed,
    Throttled,
)
from exporter.mms.protocol import (
    Call,
    JobFilter,
    JobRequest,
    PartitionFilter,
    TableFilter,
    TaskFilter,
    create_mms_job,
    decode,
    get_mms_async_task,
    get_mms_fetch_metadata_job,
    get_mms_job,
    get_mms_partition,
    get_mms_table,
    like,
    list_mms_data_sources,
    list_mms_dbs,
    list_mms_jobs,
    list_mms_partitions,
    list_mms_tables,
    list_mms_task_logs,
    list_mms_tasks,
    list_mms_timer_logs,
    list_mms_timers,
)
from tests.mms.conftest import sample

ROOT = "/api/v1/mms/datasources"
CALL = get_mms_table(12323, 22)
CANARY = "canary-7f3a"

CALLS: list[tuple[Call[Any], str, str, str]] = [
    (list_mms_data_sources(1), "ListMmsDataSources", "GET", ROOT),
    (list_mms_jobs(2000015, JobFilter(), 1), "ListMmsJobs", "GET", f"{ROOT}/2000015/jobs"),
    (list_mms_dbs(2000015, 1), "ListMmsDbs", "GET", f"{ROOT}/2000015/dbs"),
    (list_mms_tables(2000015, TableFilter(), 1), "ListMmsTables", "GET", f"{ROOT}/2000015/tables"),
    (list_mms_partitions(2000015, PartitionFilter(), 1), "ListMmsPartitions", "GET", f"{ROOT}/2000015/partitions"),
    (list_mms_tasks(2000015, TaskFilter(), 1), "ListMmsTasks", "GET", f"{ROOT}/2000015/tasks"),
    (list_mms_task_logs(2000015, 5), "ListMmsTaskLogs", "GET", f"{ROOT}/2000015/tasks/5/logs"),
    (list_mms_timers(2000015, 1), "ListMmsTimers", "GET", f"{ROOT}/2000015/timers"),
    (list_mms_timer_logs(2000015, 18, 1), "ListMmsTimerLogs", "GET", f"{ROOT}/2000015/timers/18/logs"),
    (get_mms_table(12323, 22), "GetMmsTable", "GET", f"{ROOT}/12323/tables/22"),
    (get_mms_partition(200018, 2323), "GetMmsPartition", "GET", f"{ROOT}/200018/partitions/2323"),
    (get_mms_fetch_metadata_job(7, 9), "GetMmsFetchMetadataJob", "GET", f"{ROOT}/7/scans/9"),
    (get_mms_job(2000015, 9), "GetMmsJob", "GET", f"{ROOT}/2000015/jobs/9"),
    (create_mms_job(2000015, JobRequest()), "CreateMmsJob", "POST", f"{ROOT}/2000015/jobs"),
    (get_mms_async_task(2000015, 7), "GetMmsAsyncTask", "GET", f"{ROOT}/2000015/asyncTasks/7"),
]


@pytest.mark.parametrize(("call", "operation", "method", "path"), CALLS)
def test_each_call_has_its_method_and_path(call: Call[Any], operation: str, method: str, path: str) -> None:
    assert (call.operation, call.method, call.path) == (operation, method, path)


@pytest.mark.parametrize(("call", "method"), [(call, method) for call, _, method, _ in CALLS])
def test_only_reads_are_repeatable(call: Call[Any], method: str) -> None:
    assert call.is_repeatable is (method == "GET")
    assert (call.body is None) is (method == "GET")


def test_lists_have_page_number_and_page_size() -> None:
    assert list_mms_data_sources(3).query == (("pageNum", "3"), ("pageSize", "100"))
    assert list_mms_jobs(7, JobFilter(), 2).query == (("pageNum", "2"), ("pageSize", "100"))
    assert list_mms_jobs(7, JobFilter(), 1, page_size=1).query == (("pageNum", "1"), ("pageSize", "1"))


def test_gets_have_no_parameters() -> None:
    assert [call.query for call in (CALL, get_mms_partition(1, 2), get_mms_async_task(1, 2))] == [()] * 3


def test_all_filters_of_jobs_are_sent() -> None:
    filters = JobFilter(
        name="demo",
        src_db_name="test_db_1",
        src_table_name="test_table_1",
        status="DOING",
        stopped=0,
    )
    assert dict(list_mms_jobs(7, filters, 1, page_size=10).query) == {
        "name": "demo",
        "srcDbName": "test_db_1",
        "srcTableName": "test_table_1",
        "status": "DOING",
        "stopped": "0",
        "pageNum": "1",
        "pageSize": "10",
    }


def test_changed_partitions_are_counted_with_one_row() -> None:
    call = list_mms_partitions(7, PartitionFilter(updated=True), 1, page_size=1)
    assert dict(call.query) == {"updated": "true", "pageNum": "1", "pageSize": "1"}


def test_statuses_are_sent_as_a_json_array_in_one_parameter() -> None:
    """As the vendor's SDK sends them."""
    tables = TableFilter(db_name="sales", name="orders", status=("FAILED",))
    assert dict(list_mms_tables(7, tables, 2).query) == {
        "dbName": "sales",
        "name": "orders",
        "status": '["FAILED"]',
        "pageNum": "2",
        "pageSize": "100",
    }
    partitions = PartitionFilter(db_name="sales", table_name="orders", value="p=1", status=("FAILED", "DOING"))
    assert dict(list_mms_partitions(7, partitions, 1).query) == {
        "dbName": "sales",
        "tableName": "orders",
        "value": "p=1",
        "status": '["FAILED","DOING"]',
        "pageNum": "1",
        "pageSize": "100",
    }


def test_a_backslash_in_a_filter_matches_any_character() -> None:
    assert like("a\\b_c%") == "a_b_c%"


def test_all_fields_of_a_new_job_are_sent() -> None:
    request = JobRequest(
        name="n",
        source_name="s",
        src_db_name="db",
        src_schema_name="sch",
        dst_db_name="dst",
        dst_schema_name="dsch",
        task_type="HIVE",
        partitions=(1, 2),
        tables=("t",),
        table_black_list=("b",),
        table_white_list=("w",),
        partition_filters={"t": "p1 > '2024'"},
        schema_only=False,
        table_mapping={"t": "t2"},
        increment=True,
        enable_schema_migration=True,
        enable_data_migration=False,
        enable_verification=True,
        column_mapping={"c": "c2"},
        others={"k": [1, None]},
        eta="2024-12-18",
    )
    assert json.loads(create_mms_job(2000015, request).body or b"") == {
        "sourceId": 2000015,
        "name": "n",
        "sourceName": "s",
        "srcDbName": "db",
        "srcSchemaName": "sch",
        "dstDbName": "dst",
        "dstSchemaName": "dsch",
        "taskType": "HIVE",
        "partitions": [1, 2],
        "tables": ["t"],
        "tableBlackList": ["b"],
        "tableWhiteList": ["w"],
        "partitionFilters": {"t": "p1 > '2024'"},
        "schemaOnly": False,
        "tableMapping": {"t": "t2"},
        "increment": True,
        "enableSchemaMigration": True,
        "enableDataMigration": False,
        "enableVerification": True,
        "columnMapping": {"c": "c2"},
        "others": {"k": [1, None]},
        "eta": "2024-12-18",
    }


def test_unset_fields_of_a_new_job_are_not_sent() -> None:
    assert create_mms_job(7, JobRequest(src_db_name="db")).body == b'{"sourceId":7,"srcDbName":"db"}'


KINDS: list[tuple[int, str, type[MmsError]]] = [
    (429, "Throttling", Throttled),
    (429, "Throttling.User", Throttled),
    (400, "Throttling.Api", Throttled),
    (503, "Throttling.User", Throttled),
    (403, "throttling.user", Throttled),
    (200, "Throttling.User", Throttled),
    (429, "", Throttled),
    (400, "SignatureDoesNotMatch", AuthRefused),
    (400, "SignatureNonceUsed", AuthRefused),
    (400, "IncompleteSignature", AuthRefused),
    (400, "InvalidTimeStamp.Expired", AuthRefused),
    (404, "InvalidAccessKeyId.NotFound", AuthRefused),
    (403, "InvalidAccessKeyId.Inactive", AuthRefused),
    (403, "InactiveAccessKey", AuthRefused),
    (400, "MissingAccessKeyId", AuthRefused),
    (400, "InvalidSecurityToken.Expired", AuthRefused),
    (400, "MissingSecurityToken", AuthRefused),
    (401, "", AuthRefused),
    (403, "Forbidden", PermissionRefused),
    (403, "Forbidden.RAM", PermissionRefused),
    (404, "Forbidden.NotFound", PermissionRefused),
    (400, "NoPermission", PermissionRefused),
    (403, "AccessDenied", PermissionRefused),
    (403, "", PermissionRefused),
    (404, "", NotFound),
    (404, "DataSourceNotFound", NotFound),
    (400, "TableNotFound", NotFound),
    (404, "InvalidAction.NotFound", OperationUnsupported),
    (404, "InvalidVersion", OperationUnsupported),
    (400, "InvalidAction.NotFound", OperationUnsupported),
    (400, "OBJECT_NOT_EXIST", NotFound),
    (400, "PROJECT_NOT_FOUND", NotFound),
    (400, "ODPS-0420111", NotFound),
    (400, "QUOTA_PLAN_NOT_FOUND", NotFound),
    (500, "OBJECT_NOT_EXIST", ServerFailed),
    (408, "", CallTimedOut),
    (500, "", ServerFailed),
    (500, "InternalError", ServerFailed),
    (502, "", ServerFailed),
    (503, "ServiceUnavailable", ServerFailed),
    (504, "GatewayTimeout", ServerFailed),
    (200, "InternalError", ServerFailed),
    (200, "ServiceUnavailable", ServerFailed),
    (400, "", RequestRejected),
    (400, "InvalidParameter", RequestRejected),
    (400, "InvalidVersion", RequestRejected),
    (409, "Conflict", RequestRejected),
    (418, "", RequestRejected),
    (200, "SomethingNew", RequestRejected),
    (200, "", MalformedAnswer),
    (200, "OK", MalformedAnswer),
    (200, "200", MalformedAnswer),
    (204, "", MalformedAnswer),
    (302, "", MalformedAnswer),
    (304, "Success", MalformedAnswer),
    (101, "", MalformedAnswer),
]


def refusal(status: int, body: bytes, headers: dict[str, str] | None = None) -> MmsError:
    with pytest.raises(MmsError) as caught:
        decode(CALL, status, headers or {}, body)
    return caught.value


def refused(status: int, headers: dict[str, str] | None = None, **fields: object) -> MmsError:
    return refusal(status, json.dumps(fields).encode(), headers)


@pytest.mark.parametrize(("status", "code", "kind"), KINDS)
def test_each_error_code_has_its_class(status: int, code: str, kind: type[MmsError]) -> None:
    error = refused(status, Code=code, Message=CANARY, RequestId="C1F7-1", HostId="maxcompute", Recommend=CANARY)
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, code, "C1F7-1")
    assert CANARY not in f"{error} {error!r}"


@pytest.mark.parametrize(("status", "code", "kind"), KINDS)
def test_error_fields_can_be_in_lower_case(status: int, code: str, kind: type[MmsError]) -> None:
    error = refused(status, code=code, message=CANARY, requestId="C1F7-1")
    assert type(error) is kind
    assert (error.code, error.request_id) == (code, "C1F7-1")
    assert CANARY not in f"{error} {error!r}"


GATEWAY_BODIES = (b"", b"<html><h1>Bad Gateway</h1></html>", b"[]", b"null", b'{"Code":', b"\xff\xfe", b"[" * 100_000)


@pytest.mark.parametrize("body", GATEWAY_BODIES, ids=lambda body: body[:8].decode("latin-1"))
@pytest.mark.parametrize(
    ("status", "kind"),
    [(502, ServerFailed), (503, ServerFailed), (403, PermissionRefused), (404, NotFound), (400, RequestRejected)],
)
def test_a_gateway_error_is_classified_by_status(status: int, kind: type[MmsError], body: bytes) -> None:
    error = refusal(status, body, {"x-acs-request-id": "C1F7-1"})
    assert type(error) is kind
    assert (error.code, error.request_id) == ("", "C1F7-1")
    assert str(error) == f"GetMmsTable failed (status {status}, request_id C1F7-1)"


def test_a_success_without_data_raises() -> None:
    assert str(refusal(200, b"<html>")) == "GetMmsTable: the response is not a JSON object (status 200)"
    assert str(refusal(200, b"{}")) == "GetMmsTable: the response has no data of the expected type (status 200)"


def test_data_with_a_code_are_decoded() -> None:
    body = sample("GetMmsTable").replace(b'"requestId"', b'"Code": "OK", "requestId"', 1)
    assert decode(CALL, 200, {}, body).value.id == 22


@pytest.mark.parametrize(
    "code",
    ["Invalid Parameter", "a\nlevel=error", 'a"b', "x" * 65, "\N{SNOWMAN}", "<b>", None, ["Throttling"], {"a": 1}, 1.5],
    ids=repr,
)
def test_an_invalid_code_or_request_id_is_dropped(code: object) -> None:
    error = refused(400, Code=code, RequestId=code)
    assert type(error) is RequestRejected
    assert (error.code, error.request_id) == ("", "")
    assert str(error) == "GetMmsTable failed (status 400)"


@settings(deadline=None, max_examples=200)
@given(st.integers(100, 599), st.text(), st.text(), st.text())
def test_an_error_response_cannot_inject_log_text(status: int, code: str, request_id: str, message: str) -> None:
    error = refused(status, Code=code, RequestId=request_id, Message=f"{CANARY}{message}")
    assert CANARY not in f"{error} {error!r} {vars(error)}"
    assert str(error).isprintable()
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-acs-retry-after": "2500"}, 2.5),
        ({"x-acs-retry-after": " 1000 "}, 1.0),
        ({"x-acs-retry-after": "0"}, 0.0),
        ({"retry-after": "3"}, 3.0),
        ({"x-acs-retry-after": "2500", "retry-after": "9"}, 2.5),
        ({"x-acs-retry-after": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"x-acs-retry-after": "-5"}, None),
        ({"x-acs-retry-after": "1e3"}, None),
        ({"x-acs-retry-after": "\N{SUPERSCRIPT TWO}"}, None),
        ({"x-acs-retry-after": "9" * 5000}, None),
        ({"x-acs-retry-after": ""}, None),
        ({"x-ratelimit-user-api": "Remain:0,Limit:20,Time:SECOND,TimeLeft:2000"}, 2.0),
        ({"x-ratelimit-user": "Remain:0, TimeLeft: 1500 , Limit:5"}, 1.5),
        ({"x-ratelimit-user": "TimeLeft:700", "x-ratelimit-user-api": "TimeLeft:2000"}, 2.0),
        ({"x-ratelimit-user": "TimeLeft:700", "x-acs-retry-after": "100", "retry-after": "9"}, 0.1),
        ({"x-ratelimit-user": "TimeLeft:700", "retry-after": "9"}, 0.7),
        ({"x-ratelimit-user": "TimeLeft:soon", "x-ratelimit-user-api": "Remain:0", "retry-after": "9"}, 9.0),
        ({}, None),
    ],
)
def test_waits_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert refused(429, headers, Code="Throttling.User").wait_seconds == seconds


def test_the_time_of_a_quota_is_no_wait_unless_it_is_used_up() -> None:
    assert refused(404, {"x-ratelimit-user-api": "TimeLeft:2000"}, Code="TableNotFound").wait_seconds is None
