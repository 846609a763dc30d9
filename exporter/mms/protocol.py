"""The operations of MMS: what to send for each, and what its answer holds.

No I/O: a Call says what to send and what it returns; `decode` turns an answer into data or an error. Source: the vendor
pages of product MaxCompute, API version 2022-01-04, ROA style.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from exporter.errors import MalformedAnswer
from exporter.mms.api_errors import error_from
from exporter.mms.decoding import (
    Changed,
    Decoded,
    Fingerprint,
    Page,
    decode_if_changed,
    decode_object,
    decode_page,
    decode_selected,
)
from exporter.mms.models import AsyncTask, CreatedJob, DataSource, Job, Partition, Table, Task
from exporter.mms.record import ApiRecord

T = TypeVar("T")
R = TypeVar("R", bound=ApiRecord)

DATA_SOURCES_PATH: Final = "/api/v1/mms/datasources"
PAGE_SIZE: Final = 100
"""Rows asked for in one page. UNVERIFIED: whether the service caps it lower; reading does not depend on it."""


@dataclass(frozen=True, slots=True)
class Call(ABC, Generic[T]):
    """One request, and the form of its answer."""

    operation: str
    """The vendor's name: the value of the `operation` label, and `odps:<operation>` as a RAM action."""
    path: str
    kind: type[ApiRecord]
    """What the answer holds."""
    query: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does what sending it once does."""
        return self.method == "GET"

    @abstractmethod
    def read(self, body: bytes) -> Decoded[T]:
        """Return the data of a successful answer. Raises: MalformedAnswer."""


@dataclass(frozen=True, slots=True)
class ObjectCall(Call[R]):
    """Returns one record."""

    kind: type[R]

    def read(self, body: bytes) -> Decoded[R]:
        """Return the record. Raises: MalformedAnswer."""
        return decode_object(self.kind, body)


@dataclass(frozen=True, slots=True)
class PageCall(Call[Page[R]]):
    """Returns one page of a list."""

    kind: type[R]
    only: Container[int] | None = None
    """The ids of the rows to keep; None for all rows."""

    def read(self, body: bytes) -> Decoded[Page[R]]:
        """Return the page. Raises: MalformedAnswer."""
        return decode_page(self.kind, body) if self.only is None else decode_selected(self.kind, body, self.only)


@dataclass(frozen=True, slots=True)
class ChangedPageCall(Call[Changed[Page[R]] | None]):
    """Returns one page of a list, or None where it did not change."""

    kind: type[R]
    before: Fingerprint | None = None

    def read(self, body: bytes) -> Decoded[Changed[Page[R]] | None]:
        """Return the page, or None. Raises: MalformedAnswer."""
        return decode_if_changed(self.kind, body, self.before)


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


def list_mms_data_sources(filters: DataSourceFilter, page: int) -> Call[Page[DataSource]]:
    """Return the call for page `page`, from 1, of the data sources."""
    return PageCall("ListMmsDataSources", DATA_SOURCES_PATH, DataSource, _query(filters, page))


def list_mms_jobs(
    source_id: int, filters: JobFilter, page: int, page_size: int = PAGE_SIZE, only: Container[int] | None = None
) -> Call[Page[Job]]:
    """Return the call for page `page`, from 1, of a source's jobs; with `only`, of its rows those with these ids."""
    path = f"{DATA_SOURCES_PATH}/{source_id}/jobs"
    return PageCall("ListMmsJobs", path, Job, _query(filters, page, page_size), only=only)


def list_changed_mms_jobs(source_id: int, before: Fingerprint | None) -> Call[Changed[Page[Job]] | None]:
    """Return the call for the first page of all jobs of a source; it brings None where its data are as `before`."""
    path = f"{DATA_SOURCES_PATH}/{source_id}/jobs"
    return ChangedPageCall("ListMmsJobs", path, Job, _query(JobFilter(), 1), before=before)


def list_mms_tables(source_id: int, filters: TableFilter, page: int) -> Call[Page[Table]]:
    """Return the call for page `page`, from 1, of a source's tables."""
    return PageCall("ListMmsTables", f"{DATA_SOURCES_PATH}/{source_id}/tables", Table, _query(filters, page))


def list_mms_partitions(source_id: int, filters: PartitionFilter, page: int) -> Call[Page[Partition]]:
    """Return the call for page `page`, from 1, of a source's partitions."""
    return PageCall(
        "ListMmsPartitions", f"{DATA_SOURCES_PATH}/{source_id}/partitions", Partition, _query(filters, page)
    )


def list_mms_tasks(source_id: int, filters: TaskFilter, page: int, page_size: int = PAGE_SIZE) -> Call[Page[Task]]:
    """Return the call for page `page`, from 1, of the tasks of a source's jobs."""
    return PageCall("ListMmsTasks", f"{DATA_SOURCES_PATH}/{source_id}/tasks", Task, _query(filters, page, page_size))


def get_mms_table(source_id: int, table_id: int) -> Call[Table]:
    """Return the call for one table."""
    return ObjectCall("GetMmsTable", f"{DATA_SOURCES_PATH}/{source_id}/tables/{table_id}", Table)


def get_mms_partition(source_id: int, partition_id: int) -> Call[Partition]:
    """Return the call for one partition."""
    return ObjectCall("GetMmsPartition", f"{DATA_SOURCES_PATH}/{source_id}/partitions/{partition_id}", Partition)


def get_mms_job(source_id: int, job_id: int) -> Call[Job]:
    """Return the call for one job. Source: the vendor's SDK."""
    return ObjectCall("GetMmsJob", f"{DATA_SOURCES_PATH}/{source_id}/jobs/{job_id}", Job)


def create_mms_job(source_id: int, request: JobRequest) -> Call[CreatedJob]:
    """Return the call that makes a job, which starts by itself."""
    body = msgspec.json.encode({"sourceId": source_id, **msgspec.to_builtins(request)})
    return ObjectCall("CreateMmsJob", f"{DATA_SOURCES_PATH}/{source_id}/jobs", CreatedJob, method="POST", body=body)


def get_mms_async_task(source_id: int, async_task_id: int) -> Call[AsyncTask]:
    """Return the call for the asynchronous task that makes a job."""
    return ObjectCall("GetMmsAsyncTask", f"{DATA_SOURCES_PATH}/{source_id}/asyncTasks/{async_task_id}", AsyncTask)


def _query(filters: Struct, page: int, page_size: int = PAGE_SIZE) -> tuple[tuple[str, str], ...]:
    pairs = {**msgspec.to_builtins(filters), "pageNum": page, "pageSize": page_size}
    return tuple((name, _parameter(value)) for name, value in pairs.items())


def _parameter(value: object) -> str:
    """Return a value as it stands in a query: several ones as a JSON array."""
    return str(value) if isinstance(value, (str, int)) else msgspec.json.encode(value).decode()


def like(text: str) -> str:
    """Return a filter that `text` itself passes, among others: a backslash would not stand for itself in SQL LIKE."""
    return text.replace("\\", "_")


def decode(call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> Decoded[T]:
    """Return the data of an answer; the names in `headers` are in lower case.

    Raises: MmsError for a refusal, and for a success that carries a `Code` and no data.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 - the success class of HTTP
        raise error_from(f"{call.operation} failed", status, headers, body)
    try:
        return call.read(body)
    except MalformedAnswer as error:
        raise error_from(f"{call.operation}: {error.detail}", status, headers, body) from None
