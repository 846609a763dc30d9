"""The calls of one account: signed, limited, timed, retried, and read within bounds.

The only place that sends. Owns the pooled session of the account; knows what to send and how to read it from
`protocol`, and tells an Observer what it did.
"""

import asyncio
import random
import ssl
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import tenacity
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from exporter import __version__
from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import (
    AnswerTooLarge,
    AuthRefused,
    CallTimedOut,
    ConnectionFailed,
    CredentialsUnavailable,
    MalformedAnswer,
    MmsError,
    Throttled,
    WriteForbidden,
)
from exporter.mms import protocol
from exporter.mms.credentials import CredentialSource
from exporter.mms.decoding import Page
from exporter.mms.listing import Identified, Listing, read_newest, read_pages
from exporter.mms.models import AsyncTask, CreatedJob, DataSource, Job, Partition, Table, Task
from exporter.mms.observer import Observer
from exporter.mms.pace import DEFAULT_LIMITS, Limits, Pace, backoff_seconds
from exporter.mms.protocol import (
    Call,
    DataSourceFilter,
    JobFilter,
    JobRequest,
    PartitionFilter,
    TableFilter,
    TaskFilter,
    answer_from,
)
from exporter.mms.signing import HEADER_ACTION, canonical_query, signed_headers

T = TypeVar("T")
I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified

MAX_ATTEMPTS: Final = 4
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
LARGE_ANSWER_BYTES: Final = 256 * 1024
"""From here on an answer is read in a thread, so that others go on meanwhile."""
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
        self._pace = Pace(limits, observer, clock)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, call: Call[T]) -> T:
        """Return what MMS answers to `call`.

        Raises: MmsError, after as many attempts as its kind allows. A call that is not repeatable is only repeated when
        it was throttled, since then it was not carried out. WriteForbidden, with nothing sent.
        """
        if call.method != "GET" and not self._may_write:
            raise WriteForbidden(f"{call.operation} is not sent: this client only reads")
        retrying = tenacity.AsyncRetrying(
            sleep=self._clock.sleep,
            stop=tenacity.stop_after_attempt(MAX_ATTEMPTS) | tenacity.stop_before_delay(self._limits.patience_seconds),
            wait=self._wait_seconds,
            retry=tenacity.retry_if_exception(lambda error: _can_be_repeated(call, error)),
            before_sleep=lambda _: self._observer.retried(call.operation),
            reraise=True,
        )
        return await retrying(self._attempt, call)

    async def list_data_sources(self, filters: DataSourceFilter = _ALL_SOURCES) -> Listing[DataSource]:
        """Return the data sources that `filters` match. Raises: MmsError."""
        return await self._list("ListMmsDataSources", lambda page: protocol.list_mms_data_sources(filters, page))

    async def list_jobs(
        self,
        source_id: int,
        filters: JobFilter = _ALL_JOBS,
        *,
        max_rows: int | None = None,
        first: Page[Job] | None = None,
    ) -> Listing[Job]:
        """Return `max_rows` at most of the jobs of a source that `filters` match; `first` is page 1, if it was read.

        Raises: MmsError.
        """
        return await self._list(
            "ListMmsJobs",
            lambda page: protocol.list_mms_jobs(source_id, filters, page),
            max_rows,
            first,
        )

    async def jobs_page(
        self,
        source_id: int,
        filters: JobFilter,
        page: int = 1,
        page_size: int = protocol.PAGE_SIZE,
    ) -> Page[Job]:
        """Return one page, from 1, of the jobs of a source that `filters` match. Raises: MmsError."""
        return await self.send(protocol.list_mms_jobs(source_id, filters, page, page_size))

    async def newest_tables(self, source_id: int, filters: TableFilter, wanted: int) -> Listing[Table]:
        """Return `wanted` of the tables of a source that `filters` match, the highest id first. Raises: MmsError."""
        return await self._newest(lambda page: protocol.list_mms_tables(source_id, filters, page), wanted)

    async def newest_partitions(self, source_id: int, filters: PartitionFilter, wanted: int) -> Listing[Partition]:
        """Return `wanted` of the partitions of a source that `filters` match, as above. Raises: MmsError."""
        return await self._newest(lambda page: protocol.list_mms_partitions(source_id, filters, page), wanted)

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

    async def _list(
        self,
        operation: str,
        page_call: Callable[[int], Call[Page[I]]],
        max_rows: int | None = None,
        first: Page[I] | None = None,
    ) -> Listing[I]:
        listing = await read_pages(lambda page: self.send(page_call(page)), max_rows, first)
        self._note_lack(operation, listing)
        return listing

    async def _newest(self, page_call: Callable[[int], Call[Page[I]]], wanted: int) -> Listing[I]:
        listing = await read_newest(lambda page: self.send(page_call(page)), wanted)
        self._note_lack(page_call(1).operation, listing)
        return listing

    def _note_lack(self, operation: str, listing: Listing[Any]) -> None:
        if not listing.is_whole:
            self._observer.unexpected(operation, ["total"])

    def _wait_seconds(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_seconds if isinstance(error, MmsError) else None
        return max(asked or 0.0, backoff_seconds(state.attempt_number, self._jitter()))

    async def _attempt(self, call: Call[T]) -> T:
        async with self._pace.turn(call.operation):
            return await self._observed_exchange(call)

    async def _observed_exchange(self, call: Call[T]) -> T:
        """Send `call`, and tell how that went; an attempt that is cancelled did not go any way."""
        started = self._clock.monotonic()
        try:
            answer = await self._exchange(call)
        except MmsError as error:
            self._observer.attempted(call.operation, self._clock.monotonic() - started, error.reason)
            self._learn_from(call, error)
            raise
        self._observer.attempted(call.operation, self._clock.monotonic() - started, None)
        return answer

    def _learn_from(self, call: Call[Any], error: MmsError) -> None:
        """Remember what an error means for the calls that follow."""
        if isinstance(error, AuthRefused):
            self._credentials.forget()
        if error.wait_seconds:
            self._pace.pause(call.operation, error.wait_seconds)

    async def _exchange(self, call: Call[T]) -> T:
        credential = await self._credentials.get()
        if not credential.can_be_sent:
            raise CredentialsUnavailable("the credentials hold characters that no key has, such as a line break")
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
        status, answer_headers, body = await self._transfer(call, url, headers)
        if len(body) > LARGE_ANSWER_BYTES:
            decoded = await asyncio.to_thread(answer_from, call, status, answer_headers, body)
        else:
            decoded = answer_from(call, status, answer_headers, body)
        if decoded.unexpected:
            self._observer.unexpected(call.operation, decoded.unexpected)
        return decoded.value

    async def _transfer(self, call: Call[Any], url: URL, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (names in lower case) and body; a redirect is an answer like any other.

        Following one would hand the signature to another host.
        """
        try:
            async with self._opened_session().request(
                call.method, url, headers=headers, data=call.body, allow_redirects=False
            ) as response:
                body = await _bounded_body(response.content, call.operation)
                return response.status, {name.lower(): value for name, value in response.headers.items()}, body
        except (TimeoutError, aiohttp.ClientError, OSError, UnicodeError) as error:
            failure = self._translated(error, call.operation)
        raise failure  # out here, since some of aiohttp's errors hold the request's headers

    def _translated(self, error: Exception, operation: str) -> MmsError:
        """Return what a foreign error means. The one place where they are translated."""
        match error:
            case TimeoutError():
                return CallTimedOut(f"{operation}: no answer within {self._limits.timeout_seconds:g} s")
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
                return ConnectionFailed(f"{operation}: the TLS connection to {self._host} failed")
            case aiohttp.ClientConnectorDNSError() | UnicodeError():
                return ConnectionFailed(f"{operation}: the name {self._host} cannot be resolved")
            case aiohttp.ClientConnectorError():
                return ConnectionFailed(f"{operation}: cannot connect to {self._host}: {error.os_error.strerror}")
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
                return MalformedAnswer(f"{operation}: the answer is not HTTP as it should be")
            case _:
                return ConnectionFailed(f"{operation}: the connection to {self._host} was cut")

    async def _sent_once(
        self,
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """Send one request, translating its failure already here.

        aiohttp sends a request again, by itself and with the same signature, when a connection is cut; it does so for
        its own errors only. A nonce must not be used twice, and an attempt is to be counted.
        """
        try:
            return await send(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = self._translated(error, request.headers[HEADER_ACTION])
        raise failure

    def _opened_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limits.concurrency),
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(self._sent_once,),
                headers={"user-agent": f"mms-exporter/{__version__}"},
            )
        return self._session


async def _bounded_body(content: aiohttp.StreamReader, operation: str) -> bytes:
    """Return the whole body, as it is after decompression. Raises: AnswerTooLarge."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"{operation}: the answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)


def _can_be_repeated(call: Call[Any], error: BaseException) -> bool:
    """Tell whether sending `call` again after `error` can help and cannot do its work twice."""
    if not isinstance(error, MmsError) or not error.retryable:
        return False
    return call.is_repeatable or isinstance(error, Throttled)
