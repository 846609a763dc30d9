"""API client of one account: signing, throttling, retries and size limits.

`protocol` builds requests and decodes responses, `transport` sends them, and an Observer receives the events.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Container
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from yarl import URL

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Account
from exporter.errors import AuthRefused, CredentialsUnavailable, MmsError, WriteForbidden
from exporter.mms import protocol
from exporter.mms.credentials import CredentialSource, credential_source
from exporter.mms.decoding import Changed, Fingerprint, Identified, Page
from exporter.mms.listing import Listing, read_newest, read_pages
from exporter.mms.models.records import (
    AsyncTask,
    CreatedJob,
    Database,
    DataSource,
    Job,
    MetadataScanJob,
    Partition,
    Table,
)
from exporter.mms.models.task_records import Task, TaskLog
from exporter.mms.models.timer_records import Timer, TimerLog
from exporter.mms.models.times import http_date_seconds
from exporter.mms.protocol import Call, JobFilter, JobRequest, PartitionFilter, TableFilter, TaskFilter
from exporter.mms.signing import HEADER_ACTION, Credential, canonical_query, signed_headers
from exporter.mms.throttle import DEFAULT_LIMITS, Limits, Observer, Throttle, backoff_seconds
from exporter.mms.transport import DIRECT, HttpResponse, Route, Transport

T = TypeVar("T")
I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified

MAX_ATTEMPTS: Final = 4
MAX_TIMER_LOG_PAGES: Final = 3
"""Logs of a timer that are read, in pages as long as the first: if all are skips, the last run is older."""
LARGE_RESPONSE_BYTES: Final = 256 * 1024
"""Larger responses are decoded in a thread, one at a time: decoding takes many times their size in memory."""
_ALL_JOBS: Final = JobFilter()


class Client:
    """Calls MMS for one account; read-only unless `may_write`."""

    def __init__(  # noqa: PLR0913 - optional settings have defaults
        self,
        endpoint: str,
        credentials: CredentialSource,
        observer: Observer,
        *,
        limits: Limits = DEFAULT_LIMITS,
        route: Route = DIRECT,
        clock: Clock = SYSTEM_CLOCK,
        jitter: Callable[[], float] = random.random,
        may_write: bool = False,
    ) -> None:
        url = URL(endpoint)
        self._origin = str(url.origin())
        self._host = self._origin.partition("://")[2]
        self._credentials = credentials
        self._observer = observer
        self._limits = limits
        self._clock = clock
        self._jitter = jitter
        self._may_write = may_write
        self._throttle = Throttle(limits, observer, clock)
        self._transport = Transport(self._host, limits, route)
        self._large_response_lock = asyncio.Lock()
        self.server_ahead_seconds: float | None = None
        """Clock offset of the server in the last response; None if unknown."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def inherit_from(self, before: "Client") -> None:
        """Keep the server-requested waits of the previous client."""
        self._throttle.inherit_from(before._throttle)  # noqa: SLF001 - of the same class

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._transport.close()

    async def reach(self) -> None:
        """Send a request without credentials. Raises: MmsError."""
        # Any response shows that the connection works, and the clock of MMS.
        self._compare_clocks(await self._transport.send("GET", URL(self._origin), {HEADER_ACTION: "connection"}, None))

    async def send(self, call: Call[T]) -> T:
        """Send a call with retries and return its result.

        A call that is not repeatable is retried only if MMS certainly did not execute it: throttled, or key rejected.
        Raises: MmsError after the last attempt. WriteForbidden, with nothing sent.
        """
        if call.method != "GET" and not self._may_write:
            raise WriteForbidden(f"{call.operation} was not sent: this client is read-only")
        deadline, attempts = self._clock.monotonic() + self._limits.max_wait_seconds, 0
        used: list[Credential] = []
        while True:
            try:
                return await self._attempt(call, used)
            except MmsError as error:  # not stored: its frames hold the credentials
                wait = 0.0
                if not await self._has_new_key(error, used):
                    attempts += 1
                    if attempts == MAX_ATTEMPTS or not _may_retry(call, error):
                        raise
                    wait = max(error.wait_seconds or 0.0, backoff_seconds(attempts, self._jitter()))
                    if self._clock.monotonic() + wait >= deadline:
                        raise
            self._observer.retried(call.operation)
            await self._clock.sleep(wait)

    async def list_data_sources(self) -> Listing[DataSource]:
        """Return all data sources. Raises: MmsError."""
        listing = await read_pages(lambda page: self.send(protocol.list_mms_data_sources(page)))
        return self._checked("ListMmsDataSources", listing)

    async def list_databases(self, source_id: int) -> Listing[Database]:
        """Return all databases of a source. Raises: MmsError."""
        listing = await read_pages(lambda page: self.send(protocol.list_mms_dbs(source_id, page)))
        return self._checked("ListMmsDbs", listing)

    async def databases_page(self, source_id: int, page: int, page_size: int = protocol.PAGE_SIZE) -> Page[Database]:
        """Return one page of the databases of a source. Raises: MmsError."""
        return await self.send(protocol.list_mms_dbs(source_id, page, page_size))

    async def list_jobs(
        self, source_id: int, filters: JobFilter = _ALL_JOBS, first: Page[Job] | None = None
    ) -> Listing[Job]:
        """Return the matching jobs of a source.

        `first` is page 1 if already fetched. Raises: MmsError.
        """
        listing = await read_pages(partial(self.jobs_page, source_id, filters), first=first)
        return self._checked("ListMmsJobs", listing)

    async def newest_jobs(
        self, source_id: int, filters: JobFilter, wanted: int, first: Page[Job] | None = None
    ) -> Listing[Job]:
        """Return the newest matching jobs, highest ID first.

        `first` is page 1 if already fetched. Raises: MmsError.
        """
        return await self._newest("ListMmsJobs", partial(self.jobs_page, source_id, filters), wanted, first)

    async def jobs_page(
        self,
        source_id: int,
        filters: JobFilter,
        page: int = 1,
        page_size: int = protocol.PAGE_SIZE,
        only: Container[int] | None = None,
    ) -> Page[Job]:
        """Return one page of the matching jobs.

        Pages start at 1. With `only`, return only rows with these IDs. Raises: MmsError.
        """
        return await self.send(protocol.list_mms_jobs(source_id, filters, page, page_size, only))

    async def changed_jobs_page(self, source_id: int, before: Fingerprint | None) -> Changed[Page[Job]] | None:
        """Return the first page of jobs; None if unchanged.

        Raises: MmsError.
        """
        return await self.send(protocol.list_changed_mms_jobs(source_id, before))

    async def newest_tables(self, source_id: int, filters: TableFilter, wanted: int) -> Listing[Table]:
        """Return the newest matching tables, highest ID first. Raises: MmsError."""
        return await self._newest("ListMmsTables", partial(self.tables_page, source_id, filters), wanted)

    async def newest_partitions(self, source_id: int, filters: PartitionFilter, wanted: int) -> Listing[Partition]:
        """Return the newest matching partitions, highest ID first. Raises: MmsError."""
        return await self._newest("ListMmsPartitions", partial(self.partitions_page, source_id, filters), wanted)

    async def tables_page(self, source_id: int, filters: TableFilter, page: int) -> Page[Table]:
        """Return one page of the matching tables. Raises: MmsError."""
        return await self.send(protocol.list_mms_tables(source_id, filters, page))

    async def partitions_page(
        self, source_id: int, filters: PartitionFilter, page: int, page_size: int = protocol.PAGE_SIZE
    ) -> Page[Partition]:
        """Return one page of the matching partitions. Raises: MmsError."""
        return await self.send(protocol.list_mms_partitions(source_id, filters, page, page_size))

    async def tasks_page(
        self, source_id: int, filters: TaskFilter, page: int = 1, page_size: int = protocol.PAGE_SIZE
    ) -> Page[Task]:
        """Return one page of the matching tasks. Raises: MmsError."""
        return await self.send(protocol.list_mms_tasks(source_id, filters, page, page_size))

    async def newest_tasks(self, source_id: int, filters: TaskFilter, wanted: int) -> Listing[Task]:
        """Return the newest matching tasks, highest ID first. Raises: MmsError."""
        return await self._newest("ListMmsTasks", partial(self.tasks_page, source_id, filters), wanted)

    async def task_logs(self, source_id: int, task_id: int) -> tuple[TaskLog, ...]:
        """Return the log of one task, in the order received. Raises: MmsError."""
        return await self.send(protocol.list_mms_task_logs(source_id, task_id))

    async def list_timers(self, source_id: int) -> Listing[Timer]:
        """Return the timers of a source. Raises: MmsError."""
        listing = await read_pages(lambda page: self.timers_page(source_id, page))
        return self._checked("ListMmsTimers", listing)

    async def timers_page(self, source_id: int, page: int, page_size: int = protocol.PAGE_SIZE) -> Page[Timer]:
        """Return one page of the timers of a source. Raises: MmsError."""
        return await self.send(protocol.list_mms_timers(source_id, page, page_size))

    async def timer_logs_page(self, source_id: int, timer_id: int, page: int) -> Page[TimerLog]:
        """Return one page of the logs of a timer. Raises: MmsError."""
        return await self.send(protocol.list_mms_timer_logs(source_id, timer_id, page))

    async def newest_timer_logs(self, source_id: int, timer_id: int) -> Listing[TimerLog]:
        """Return the newest logs of a timer down to its last run, highest ID first. Raises: MmsError."""
        read = partial(self.timer_logs_page, source_id, timer_id)
        first = await read(1)
        wanted = MAX_TIMER_LOG_PAGES * max(1, len(first.rows))
        return await self._newest("ListMmsTimerLogs", read, wanted, first, lambda log: not log.is_skip)

    async def get_scan(self, source_id: int, scan_id: int) -> MetadataScanJob:
        """Return one metadata scan. Raises: MmsError."""
        return await self.send(protocol.get_mms_fetch_metadata_job(source_id, scan_id))

    async def get_table(self, source_id: int, table_id: int) -> Table:
        """Return one table. Raises: MmsError."""
        return await self.send(protocol.get_mms_table(source_id, table_id))

    async def get_partition(self, source_id: int, partition_id: int) -> Partition:
        """Return one partition. Raises: MmsError."""
        return await self.send(protocol.get_mms_partition(source_id, partition_id))

    async def create_job(self, source_id: int, request: JobRequest) -> CreatedJob:
        """Create a job, which starts immediately.

        Raises: MmsError. Except after Throttled, the job may exist.
        """
        return await self.send(protocol.create_mms_job(source_id, request))

    async def get_async_task(self, source_id: int, async_task_id: int) -> AsyncTask:
        """Return the progress of a job creation. Raises: MmsError."""
        return await self.send(protocol.get_mms_async_task(source_id, async_task_id))

    async def _newest(
        self,
        operation: str,
        read: Callable[[int], Awaitable[Page[I]]],
        wanted: int,
        first: Page[I] | None = None,
        is_last: Callable[[I], bool] | None = None,
    ) -> Listing[I]:
        return self._checked(operation, await read_newest(read, wanted, first, protocol.PAGE_SIZE, is_last))

    def _checked(self, operation: str, listing: Listing[I]) -> Listing[I]:
        if not listing.is_consistent:
            self._observer.unexpected(operation, ["total"])
        return listing

    async def _has_new_key(self, error: MmsError, used: list[Credential]) -> bool:
        # After a key rotation, one immediate retry with the new key.
        is_refused = isinstance(error, AuthRefused) and error.is_certain
        return is_refused and len(set(used)) == 1 and await self._credentials.get() not in used

    async def _attempt(self, call: Call[T], used: list[Credential]) -> T:
        # The credential is added to `used`.
        async with self._throttle.slot(call.operation):
            started = self._clock.monotonic()
            try:
                used.append(await self._credentials.get())
                data = await self._exchange(call, used[-1])
            except MmsError as error:
                self._observer.attempted(call.operation, self._clock.monotonic() - started, error.reason)
                if isinstance(error, AuthRefused):
                    self._credentials.forget(used[-1])
                if error.wait_seconds:
                    self._throttle.pause(call.operation, error.wait_seconds)
                raise
            self._observer.attempted(call.operation, self._clock.monotonic() - started, None)
            return data

    async def _exchange(self, call: Call[T], credential: Credential) -> T:
        if not credential.can_be_sent:
            raise CredentialsUnavailable("the credentials contain invalid characters, such as a line break")
        query = canonical_query(call.query)
        headers = signed_headers(
            credential,
            operation=call.operation,
            method=call.method,
            host=self._host,
            path=call.path,
            query=query,
            body=call.body,
            now=datetime.fromtimestamp(self._clock.wall(), UTC),
            nonce=uuid.uuid4().hex,
        )
        url = URL(f"{self._origin}{call.path}?{query}" if query else f"{self._origin}{call.path}", encoded=True)
        response = await self._transport.send(call.method, url, headers, call.body)
        self._compare_clocks(response)
        if len(response.body) > LARGE_RESPONSE_BYTES:
            async with self._large_response_lock:
                decoded = await asyncio.to_thread(
                    protocol.decode, call, response.status, response.headers, response.body
                )
        else:
            decoded = protocol.decode(call, response.status, response.headers, response.body)
        if decoded.unexpected:
            self._observer.unexpected(call.operation, decoded.unexpected)
        return decoded.value

    def _compare_clocks(self, response: HttpResponse) -> None:
        server_time = http_date_seconds(response.headers.get("date"))
        self.server_ahead_seconds = None if server_time is None else server_time - self._clock.wall()


def _may_retry(call: Call[Any], error: MmsError) -> bool:
    # A repeat must not execute the call twice.
    return error.retryable and (call.is_repeatable or error.is_certain)


def create_client(
    account: Account, observer: Observer, clock: Clock = SYSTEM_CLOCK, *, may_write: bool = False
) -> Client:
    """Return a client for an account; the caller closes it."""
    return Client(
        account.url,
        credential_source(account.credentials, account.proxy),
        observer,
        limits=Limits(account.rate_limit, account.concurrency, account.timeout),
        route=Route(account.proxy, account.ca_file.text if account.ca_file else None),
        clock=clock,
        may_write=may_write,
    )
