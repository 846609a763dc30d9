"""The operations of MMS: what to send for each, and what an answer or a refusal means.

No I/O: a Call says what to send; `answer_from` turns what came back into data or an error. Source: the vendor
pages of product MaxCompute, API version 2022-01-04, ROA style.
"""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from exporter.errors import (
    AuthRefused,
    CallTimedOut,
    MalformedAnswer,
    MmsError,
    NotFound,
    PermissionRefused,
    RequestRejected,
    ServerFailed,
    Throttled,
)
from exporter.mms.decoding import (
    Changed,
    Decoded,
    Fingerprint,
    Page,
    choosing,
    loaded_object,
    object_decoder,
    page_decoder,
    unless_same,
)
from exporter.mms.models import AsyncTask, CreatedJob, DataSource, Job, Partition, Table, Task

T = TypeVar("T")

DATA_SOURCES_PATH: Final = "/api/v1/mms/datasources"
PAGE_SIZE: Final = 100
"""Rows asked for in one page. UNVERIFIED: whether the service caps it lower; reading does not depend on it."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read."""

    operation: str
    """The vendor's name: the value of the `operation` label, and `odps:<operation>` as a RAM action."""
    path: str
    decode: Callable[[bytes], Decoded[T]]
    query: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does what sending it once does."""
        return self.method == "GET"


class DataSourceFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What ListMmsDataSources can be narrowed by; texts match like SQL LIKE."""

    name: str | None = None
    type: str | None = None
    region: str | None = None


class JobFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What ListMmsJobs can be narrowed by; texts match like SQL LIKE."""

    name: str | None = None
    """The job's name; the vendor's page calls it the data source's."""
    src_db_name: str | None = None
    src_table_name: str | None = None
    dst_db_name: str | None = None
    dst_table_name: str | None = None
    status: str | None = None
    stopped: int | None = None
    """1 for stopped jobs, 0 for the others."""
    sorter_status: str | None = msgspec.field(name="sorter.status", default=None)
    """`asc` or `desc`."""


class TableFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What ListMmsTables can be narrowed by; texts match like SQL LIKE. Source: the vendor's SDK."""

    db_name: str | None = None
    name: str | None = None
    status: tuple[str, ...] | None = None
    """Any of these."""


class PartitionFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What ListMmsPartitions can be narrowed by; texts match like SQL LIKE. Source: the vendor's SDK."""

    db_name: str | None = None
    table_name: str | None = None
    value: str | None = None
    status: tuple[str, ...] | None = None
    """Any of these."""


class TaskFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What ListMmsTasks can be narrowed by. Source: the vendor's SDK."""

    job_id: int | None = None
    status: str | None = None
    """One of TASK_STATUSES; the API takes no more than one."""


class JobRequest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The body of CreateMmsJob: which part of a source to migrate, and how.

    `src_db_name` alone is the whole database; with `tables` those tables; with `tables` and `partition_filters`, or
    with `partitions`, those partitions. Source: vendor page CreateMmsJob.
    """

    name: str | None = None
    source_name: str | None = None
    src_db_name: str | None = None
    src_schema_name: str | None = None
    dst_db_name: str | None = None
    dst_schema_name: str | None = None
    task_type: str | None = None
    partitions: tuple[int, ...] | None = None
    """Partition ids."""
    tables: tuple[str, ...] | None = None
    table_black_list: tuple[str, ...] | None = None
    table_white_list: tuple[str, ...] | None = None
    """Without effect beside a blacklist."""
    partition_filters: dict[str, str] | None = None
    """Table name to partition filter expression."""
    schema_only: bool | None = None
    table_mapping: dict[str, str] | None = None
    increment: bool | None = None
    enable_schema_migration: bool | None = None
    enable_data_migration: bool | None = None
    enable_verification: bool | None = None
    column_mapping: dict[str, str] | None = None
    others: dict[str, Any] | None = None
    eta: str | None = None


_DATA_SOURCES: Final = page_decoder(DataSource)
_JOBS: Final = page_decoder(Job)
_TABLES: Final = page_decoder(Table)
_PARTITIONS: Final = page_decoder(Partition)
_TASKS: Final = page_decoder(Task)
_TABLE: Final = object_decoder(Table)
_PARTITION: Final = object_decoder(Partition)
_JOB: Final = object_decoder(Job)
_CREATED_JOB: Final = object_decoder(CreatedJob)
_ASYNC_TASK: Final = object_decoder(AsyncTask)


def list_mms_data_sources(filters: DataSourceFilter, page: int) -> Call[Page[DataSource]]:
    """Return the call for page `page`, from 1, of the data sources."""
    return Call("ListMmsDataSources", DATA_SOURCES_PATH, _DATA_SOURCES, _query(filters, page))


def list_mms_jobs(
    source_id: int, filters: JobFilter, page: int, page_size: int = PAGE_SIZE, only: Container[int] | None = None
) -> Call[Page[Job]]:
    """Return the call for page `page`, from 1, of a source's jobs; with `only`, of its rows those with these ids."""
    decode = _JOBS if only is None else choosing(only, _JOBS)
    return Call("ListMmsJobs", f"{DATA_SOURCES_PATH}/{source_id}/jobs", decode, _query(filters, page, page_size))


def list_changed_mms_jobs(source_id: int, before: Fingerprint | None) -> Call[Changed[Page[Job]] | None]:
    """Return the call for the first page of all jobs of a source; it brings None where its data are as `before`."""
    decode = unless_same(before, _JOBS)
    return Call("ListMmsJobs", f"{DATA_SOURCES_PATH}/{source_id}/jobs", decode, _query(JobFilter(), 1))


def list_mms_tables(source_id: int, filters: TableFilter, page: int) -> Call[Page[Table]]:
    """Return the call for page `page`, from 1, of a source's tables."""
    return Call("ListMmsTables", f"{DATA_SOURCES_PATH}/{source_id}/tables", _TABLES, _query(filters, page))


def list_mms_partitions(source_id: int, filters: PartitionFilter, page: int) -> Call[Page[Partition]]:
    """Return the call for page `page`, from 1, of a source's partitions."""
    return Call("ListMmsPartitions", f"{DATA_SOURCES_PATH}/{source_id}/partitions", _PARTITIONS, _query(filters, page))


def list_mms_tasks(source_id: int, filters: TaskFilter, page: int, page_size: int = PAGE_SIZE) -> Call[Page[Task]]:
    """Return the call for page `page`, from 1, of the tasks of a source's jobs."""
    return Call("ListMmsTasks", f"{DATA_SOURCES_PATH}/{source_id}/tasks", _TASKS, _query(filters, page, page_size))


def get_mms_table(source_id: int, table_id: int) -> Call[Table]:
    """Return the call for one table."""
    return Call("GetMmsTable", f"{DATA_SOURCES_PATH}/{source_id}/tables/{table_id}", _TABLE)


def get_mms_partition(source_id: int, partition_id: int) -> Call[Partition]:
    """Return the call for one partition."""
    return Call("GetMmsPartition", f"{DATA_SOURCES_PATH}/{source_id}/partitions/{partition_id}", _PARTITION)


def get_mms_job(source_id: int, job_id: int) -> Call[Job]:
    """Return the call for one job. Source: the vendor's SDK."""
    return Call("GetMmsJob", f"{DATA_SOURCES_PATH}/{source_id}/jobs/{job_id}", _JOB)


def create_mms_job(source_id: int, request: JobRequest) -> Call[CreatedJob]:
    """Return the call that makes a job, which starts by itself."""
    body = msgspec.json.encode({"sourceId": source_id, **msgspec.to_builtins(request)})
    return Call("CreateMmsJob", f"{DATA_SOURCES_PATH}/{source_id}/jobs", _CREATED_JOB, method="POST", body=body)


def get_mms_async_task(source_id: int, async_task_id: int) -> Call[AsyncTask]:
    """Return the call for the asynchronous task that makes a job."""
    return Call("GetMmsAsyncTask", f"{DATA_SOURCES_PATH}/{source_id}/asyncTasks/{async_task_id}", _ASYNC_TASK)


def _query(filters: Struct, page: int, page_size: int = PAGE_SIZE) -> tuple[tuple[str, str], ...]:
    pairs = {**msgspec.to_builtins(filters), "pageNum": page, "pageSize": page_size}
    return tuple((name, _parameter(value)) for name, value in pairs.items())


def _parameter(value: object) -> str:
    """Return a value as it stands in a query: several ones as a JSON array."""
    return str(value) if isinstance(value, (str, int)) else msgspec.json.encode(value).decode()


def like(text: str) -> str:
    """Return a filter that `text` itself passes, among others: a backslash would not stand for itself in SQL LIKE."""
    return text.replace("\\", "_")


_KINDS_BY_CODE: Final[tuple[tuple[tuple[str, ...], type[MmsError]], ...]] = (
    (("throttling",), Throttled),
    (("signature", "incompletesignature", "invalidtimestamp"), AuthRefused),
    (("invalidaccesskey", "inactiveaccesskey", "missingaccesskey"), AuthRefused),
    (("invalidsecuritytoken", "missingsecuritytoken"), AuthRefused),
    (("forbidden", "nopermission", "accessdenied", "notauthorized", "unauthorized"), PermissionRefused),
    (("internalerror", "serviceunavailable"), ServerFailed),
)
_KINDS_BY_STATUS: Final[dict[int, type[MmsError]]] = {
    401: AuthRefused,
    403: PermissionRefused,
    404: NotFound,
    408: CallTimedOut,
    429: Throttled,
}
_FINE_CODES: Final = ("", "ok", "success", "200")


def answer_from(call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> Decoded[T]:
    """Return what an answer holds; `headers` are looked up as they are spelled here, in lower case.

    Raises: MmsError for a refusal, and for a success that carries a `Code` and no data.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 - the success class of HTTP
        raise _refusal(f"{call.operation} failed", status, headers, body)
    try:
        return call.decode(body)
    except MalformedAnswer as error:
        raise _refusal(f"{call.operation}: {error.detail}", status, headers, body) from None


def _refusal(detail: str, status: int, headers: Mapping[str, str], body: bytes) -> MmsError:
    """Return the error for an answer without data. Source: `../shared/api/FACTS.md`, "Transport"."""
    answer = loaded_object(body)
    code = _plain(_either(answer, "Code"))
    kind = MalformedAnswer if status < 400 and code.lower() in _FINE_CODES else _kind_of(status, code.lower())  # noqa: PLR2004 - HTTP
    return kind(
        detail,
        status=status,
        code=code,
        request_id=_plain(_either(answer, "RequestId")) or _plain(headers.get("x-acs-request-id")),
        wait_seconds=_wait_seconds(headers),
    )


def _kind_of(status: int, code: str) -> type[MmsError]:
    """Return the kind of a refusal; the code, in lower case, tells more than the status."""
    for prefixes, kind in _KINDS_BY_CODE:
        if code.startswith(prefixes):
            return kind
    if status >= 500:  # noqa: PLR2004 - the server's class of HTTP
        return ServerFailed
    return NotFound if code.endswith("notfound") else _KINDS_BY_STATUS.get(status, RequestRejected)


def _wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait asked for: milliseconds in the vendor's header, seconds in a gateway's."""
    for name, unit in (("x-acs-retry-after", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and len(text) < 12:  # noqa: PLR2004 - 30 years in ms; int() has a limit
            return int(text) * unit
    return None


def _either(answer: dict[str, Any] | None, name: str) -> object:
    """Return a field of an error, which the vendor spells with either case of its first letter."""
    if answer is None:
        return None
    return answer.get(name, answer.get(name[0].lower() + name[1:]))


def _plain(value: object) -> str:
    """Return a code or an id fit for a log line; "" for what does not look like one."""
    text = str(value).strip() if isinstance(value, (str, int)) else ""
    return text if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) else ""
