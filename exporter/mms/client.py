"""The calls of one account: signed, limited, timed, retried, and read within bounds.

Knows what to send and how to read it from `protocol`, has `transport` carry it, and tells an Observer what it did.
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
from exporter.errors import (
    AuthRefused,
    CredentialsUnavailable,
    MmsError,
    WriteForbidden,
)
from exporter.mms import protocol
from exporter.mms.credentials import CredentialSource
from exporter.mms.decoding import Changed, Fingerprint, Identified, Page
from exporter.mms.listing import Listing, read_newest, read_pages
from exporter.mms.models import AsyncTask, CreatedJob, DataSource, Job, Partition, Table, Task
from exporter.mms.observer import Observer
from exporter.mms.protocol import (
    Call,
    DataSourceFilter,
    JobFilter,
    JobRequest,
    PartitionFilter,
    TableFilter,
    TaskFilter,
)
from exporter.mms.signing import Credential, canonical_query, signed_headers
from exporter.mms.throttle import DEFAULT_LIMITS, Limits, Throttle, backoff_seconds
from exporter.mms.times import http_date_seconds
from exporter.mms.transport import DIRECT, Route, Transport

T = TypeVar("T")
I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified

MAX_ATTEMPTS: Final = 4
LARGE_ANSWER_BYTES: Final = 256 * 1024
"""From here on an answer is read in a thread, so that others go on meanwhile, and one at a time: it takes many times
its size."""
_ALL_SOURCES: Final = DataSourceFilter()
_ALL_JOBS: Final = JobFilter()


class Client:
    """Calls MMS for one account. What would change anything there is not sent, unless the client was made to write."""

    def __init__(  # noqa: PLR0913 - what only some clients need has a default
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
        self._pace = Throttle(limits, observer, clock)
        self._transport = Transport(self._host, limits, route)
        self._reading_large = asyncio.Lock()
        self.server_ahead_seconds: float | None = None
        """How far the clock of the last answer's sender was ahead of ours; None where it is not known."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def take_over(self, before: "Client") -> None:
        """Wait as long as MMS asked another client of the same account to."""
        self._pace.take_over(before._pace)  # noqa: SLF001 - of the same class

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._transport.close()

    async def send(self, call: Call[T]) -> T:
        """Return what MMS answers to `call`.

        Raises: MmsError, after as many attempts as its kind allows. A call that is not repeatable is only repeated when
        MMS itself throttled it or refused its key: then it was not carried out. WriteForbidden, with nothing sent.
        """
        if call.method != "GET" and not self._may_write:
            raise WriteForbidden(f"{call.operation} was not sent: this client is read-only")
        deadline, attempts = self._clock.monotonic() + self._limits.max_wait_seconds, 0
        while True:
            try:
                return await self._attempt(call)
            except MmsError as error:  # kept no longer than this: its frames hold the credentials
                attempts += 1
                if attempts == MAX_ATTEMPTS or not _can_be_repeated(call, error):
                    raise
                wait = max(error.wait_seconds or 0.0, backoff_seconds(attempts, self._jitter()))
                if self._clock.monotonic() + wait >= deadline:
                    raise
            self._observer.retried(call.operation)
            await self._clock.sleep(wait)

    async def list_data_sources(self, filters: DataSourceFilter = _ALL_SOURCES) -> Listing[DataSource]:
        """Return the data sources that `filters` match. Raises: MmsError."""
        reading = read_pages(lambda page: self.send(protocol.list_mms_data_sources(filters, page)))
        return await self._checked("ListMmsDataSources", reading)

    async def list_jobs(self, source_id: int, filters: JobFilter = _ALL_JOBS) -> Listing[Job]:
        """Return the jobs of a source that `filters` match. Raises: MmsError."""
        return await self._checked("ListMmsJobs", read_pages(partial(self.jobs_page, source_id, filters)))

    async def newest_jobs(
        self, source_id: int, filters: JobFilter, wanted: int, first: Page[Job] | None = None
    ) -> Listing[Job]:
        """Return `wanted` of a source's jobs, the highest id first.

        `first` is page 1, if it was read. Raises: MmsError.
        """
        reading = read_newest(partial(self.jobs_page, source_id, filters), wanted, first, protocol.PAGE_SIZE)
        return await self._checked("ListMmsJobs", reading)

    async def jobs_page(
        self,
        source_id: int,
        filters: JobFilter,
        page: int = 1,
        page_size: int = protocol.PAGE_SIZE,
        only: Container[int] | None = None,
    ) -> Page[Job]:
        """Return one page, from 1, of the jobs of a source that `filters` match; with `only`, its rows with these ids.

        Raises: MmsError.
        """
        return await self.send(protocol.list_mms_jobs(source_id, filters, page, page_size, only))

    async def changed_jobs_page(self, source_id: int, before: Fingerprint | None) -> Changed[Page[Job]] | None:
        """Return the first page of all jobs of a source; None where its data are as `before`. Raises: MmsError."""
        return await self.send(protocol.list_changed_mms_jobs(source_id, before))

    async def newest_tables(self, source_id: int, filters: TableFilter, wanted: int) -> Listing[Table]:
        """Return `wanted` of the tables of a source that `filters` match, as above. Raises: MmsError."""
        page = partial(self.tables_page, source_id, filters)
        return await self._checked("ListMmsTables", read_newest(page, wanted, page_size=protocol.PAGE_SIZE))

    async def newest_partitions(self, source_id: int, filters: PartitionFilter, wanted: int) -> Listing[Partition]:
        """Return `wanted` of the partitions of a source that `filters` match, as above. Raises: MmsError."""
        page = partial(self.partitions_page, source_id, filters)
        return await self._checked("ListMmsPartitions", read_newest(page, wanted, page_size=protocol.PAGE_SIZE))

    async def tables_page(self, source_id: int, filters: TableFilter, page: int) -> Page[Table]:
        """Return one page, from 1, of the tables of a source that `filters` match. Raises: MmsError."""
        return await self.send(protocol.list_mms_tables(source_id, filters, page))

    async def partitions_page(self, source_id: int, filters: PartitionFilter, page: int) -> Page[Partition]:
        """Return one page, from 1, of the partitions of a source that `filters` match. Raises: MmsError."""
        return await self.send(protocol.list_mms_partitions(source_id, filters, page))

    async def tasks_page(
        self, source_id: int, filters: TaskFilter, page: int = 1, page_size: int = protocol.PAGE_SIZE
    ) -> Page[Task]:
        """Return one page, from 1, of the tasks of a source that `filters` match. Raises: MmsError."""
        return await self.send(protocol.list_mms_tasks(source_id, filters, page, page_size))

    async def get_table(self, source_id: int, table_id: int) -> Table:
        """Return one table. Raises: MmsError."""
        return await self.send(protocol.get_mms_table(source_id, table_id))

    async def get_partition(self, source_id: int, partition_id: int) -> Partition:
        """Return one partition. Raises: MmsError."""
        return await self.send(protocol.get_mms_partition(source_id, partition_id))

    async def create_job(self, source_id: int, request: JobRequest) -> CreatedJob:
        """Make a job, which starts by itself. Raises: MmsError; after any but Throttled it may have been made."""
        return await self.send(protocol.create_mms_job(source_id, request))

    async def get_async_task(self, source_id: int, async_task_id: int) -> AsyncTask:
        """Return how far the making of a job is. Raises: MmsError."""
        return await self.send(protocol.get_mms_async_task(source_id, async_task_id))

    async def _checked(self, operation: str, reading: Awaitable[Listing[I]]) -> Listing[I]:
        """Return a list; count one that is incomplete as unexpected."""
        listing = await reading
        if not listing.is_consistent:
            self._observer.unexpected(operation, ["total"])
        return listing

    async def _attempt(self, call: Call[T]) -> T:
        """Send `call`; once more where its key was refused and replaced meanwhile, as when keys rotate."""
        used: list[Credential] = []
        try:
            return await self._send_in_turn(call, used)
        except AuthRefused as error:
            if not error.is_certain or await self._credentials.get() in used:
                raise
        self._observer.retried(call.operation)
        return await self._send_in_turn(call, used)

    async def _send_in_turn(self, call: Call[T], used: list[Credential]) -> T:
        """Wait for a slot, send `call`, and report the outcome; the credential is added to `used`."""
        async with self._pace.turn(call.operation):
            started = self._clock.monotonic()
            try:
                used.append(await self._usable_credential())
                data = await self._exchange(call, used[-1])
            except MmsError as error:
                self._observer.attempted(call.operation, self._clock.monotonic() - started, error.reason)
                if isinstance(error, AuthRefused):
                    self._credentials.forget(used[-1])
                if error.wait_seconds:
                    self._pace.pause(call.operation, error.wait_seconds)
                raise
            self._observer.attempted(call.operation, self._clock.monotonic() - started, None)
            return data

    async def _usable_credential(self) -> Credential:
        credential = await self._credentials.get()
        if not credential.can_be_sent:
            raise CredentialsUnavailable("the credentials contain invalid characters, such as a line break")
        return credential

    async def _exchange(self, call: Call[T], credential: Credential) -> T:
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
        answer = await self._transport.send(call.method, url, headers, call.body)
        sent_at = http_date_seconds(answer.headers.get("date"))
        self.server_ahead_seconds = None if sent_at is None else sent_at - self._clock.wall()
        if len(answer.body) > LARGE_ANSWER_BYTES:
            async with self._reading_large:
                decoded = await asyncio.to_thread(protocol.decode, call, answer.status, answer.headers, answer.body)
        else:
            decoded = protocol.decode(call, answer.status, answer.headers, answer.body)
        if decoded.unexpected:
            self._observer.unexpected(call.operation, decoded.unexpected)
        return decoded.value


def _can_be_repeated(call: Call[Any], error: MmsError) -> bool:
    """Tell whether sending `call` again can help and cannot do its work twice."""
    return error.retryable and (call.is_repeatable or error.is_certain)
