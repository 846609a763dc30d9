"""The client against the simulated MMS: all operations and authentication."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from exporter.errors import (
    AuthRefused,
    CredentialsUnavailable,
    NotFound,
    PermissionRefused,
    RequestRejected,
    WriteForbidden,
)
from exporter.mms import client as client_module
from exporter.mms import protocol
from exporter.mms.client import Client
from exporter.mms.models.records import Job
from exporter.mms.protocol import JobFilter, JobRequest, decode
from exporter.mms.signing import Credential
from exporter.simulator import Fault, Identity, ManualClock, Simulator, World, WorldOptions
from tests.mms.conftest import CREDENTIAL, FakeClock, MakeClient, RecordingObserver

SOURCE = 2_000_001


async def test_list_data_sources_returns_all_sources(
    client: Client, simulator: Simulator, observer: RecordingObserver
) -> None:
    listing = await client.list_data_sources()
    assert {row.id: row for row in listing.rows} == simulator.world.truth().data_sources()
    assert (listing.total, listing.is_complete) == (3, True)
    assert (observer.reasons, observer.lost) == ([None], [])


async def test_list_jobs_returns_all_jobs(client: Client, simulator: Simulator, observer: RecordingObserver) -> None:
    listing = await client.list_jobs(SOURCE)
    assert list(listing.rows) == list(simulator.world.truth().jobs(SOURCE))
    assert (listing.is_complete, observer.lost) == (True, [])


async def test_all_job_filters_work(client: Client, simulator: Simulator) -> None:
    jobs = list(simulator.world.truth().jobs(SOURCE))
    one = next(job for job in jobs if job.type == "Tables")
    assert one.config is not None
    assert one.config.tables
    filters = JobFilter(
        name=one.name,
        src_db_name=one.src_db_name,
        src_table_name=one.config.tables[0],
        status=one.status,
        stopped=0,
    )
    assert one in (await client.list_jobs(SOURCE, filters)).rows


async def test_page_size_one_is_enough_to_count_jobs(client: Client, simulator: Simulator) -> None:
    page = await client.jobs_page(SOURCE, JobFilter(status="DONE"), page_size=1)
    done = [job for job in simulator.world.truth().jobs(SOURCE) if job.status == "DONE"]
    assert (page.total, page.rows) == (len(done), (done[0],))
    assert simulator.calls == {("ListMmsJobs", SOURCE): 1}


async def test_a_given_first_page_is_not_fetched_again(client: Client, simulator: Simulator) -> None:
    simulator.page_size_cap = 5
    first = await client.jobs_page(SOURCE, JobFilter())
    listing = await client.newest_jobs(SOURCE, JobFilter(), 1000, first)
    assert list(listing.rows) == list(simulator.world.truth().jobs(SOURCE))
    assert simulator.calls["ListMmsJobs", SOURCE] == -(-len(listing.rows) // 5)


async def test_get_table_and_get_partition_return_the_objects(client: Client, simulator: Simulator) -> None:
    truth = simulator.world.truth()
    table, partition = next(truth.tables(SOURCE)), next(truth.partitions(SOURCE))
    assert await client.get_table(SOURCE, table.id) == table
    assert await client.get_partition(SOURCE, partition.id) == partition


async def test_a_created_job_is_in_the_list(client: Client, simulator: Simulator, world_clock: ManualClock) -> None:
    table = next(simulator.world.truth().tables(SOURCE))
    assert table.db_name is not None
    assert table.name is not None
    created = await client.create_job(SOURCE, JobRequest(name="again", src_db_name=table.db_name, tables=(table.name,)))
    assert (await client.get_async_task(SOURCE, created.async_task_id)).status == "DOING"
    world_clock.advance(60)
    task = await client.get_async_task(SOURCE, created.async_task_id)
    assert (task.status, task.running) == ("DONE", False)
    made: list[Job] = [job for job in (await client.list_jobs(SOURCE)).rows if job.id == task.object_id]
    assert [job.name for job in made] == ["again"]


async def test_a_missing_table_raises_not_found(client: Client, observer: RecordingObserver) -> None:
    with pytest.raises(NotFound) as caught:
        await client.get_table(SOURCE, 10**9)
    assert (caught.value.status, caught.value.code) == (404, "TableNotFound")
    assert caught.value.request_id
    assert observer.reasons == ["not_found"]


async def test_a_rejected_request_is_not_retried(client: Client, observer: RecordingObserver) -> None:
    with pytest.raises(RequestRejected):
        await client.list_jobs(SOURCE, JobFilter(status="NOT-A-STATUS"))
    assert (observer.reasons, observer.retries) == (["rejected"], {})


@pytest.mark.parametrize("cap", [1, 2, 5, 100])
async def test_a_list_is_complete_for_every_page_size(simulator: Simulator, client: Client, cap: int) -> None:
    simulator.page_size_cap = cap
    listing = await client.list_jobs(SOURCE)
    assert list(listing.rows) == list(simulator.world.truth().jobs(SOURCE))
    assert listing.is_complete
    assert simulator.calls["ListMmsJobs", SOURCE] == -(-len(listing.rows) // cap)


async def test_an_incomplete_list_is_reported(
    client: Client, simulator: Simulator, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="total", total=100))
    listing = await client.list_jobs(SOURCE)
    assert (listing.total, listing.is_complete) == (100, False)
    assert len(listing.rows) == len(list(simulator.world.truth().jobs(SOURCE)))
    assert observer.lost == [("ListMmsJobs", ("total",))]


async def test_duplicate_rows_are_removed(client: Client, simulator: Simulator) -> None:
    simulator.page_size_cap = 3
    simulator.faults.add(Fault(kind="shift", shift=-1))
    ids = [job.id for job in (await client.list_jobs(SOURCE)).rows]
    assert sorted(ids) == sorted(job.id for job in simulator.world.truth().jobs(SOURCE))


async def test_temporary_credentials_are_accepted(simulator: Simulator, client_on: MakeClient) -> None:
    simulator.identities.add(Identity("STS.EXAMPLE", "not-a-secret", security_token="not-a-token"))  # noqa: S106 - a fake
    client = client_on(simulator.url, credentials=Credential("STS.EXAMPLE", "not-a-secret", "not-a-token"))
    assert (await client.list_data_sources()).total == 3


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        (Credential("LTAI-EXAMPLE", "another"), "SignatureDoesNotMatch"),
        (Credential("LTAI-UNKNOWN", "not-a-secret"), "InvalidAccessKeyId.NotFound"),
        (Credential("LTAI-EXAMPLE", "not-a-secret", "stray"), "InvalidSecurityToken.MismatchWithAccessKey"),
    ],
)
async def test_a_wrong_credential_is_not_retried(
    simulator: Simulator, client_on: MakeClient, observer: RecordingObserver, credential: Credential, code: str
) -> None:
    with pytest.raises(AuthRefused) as caught:
        await client_on(simulator.url, credentials=credential).list_data_sources()
    assert caught.value.code == code
    assert observer.reasons == ["auth"]


async def test_a_wrong_clock_raises_auth_refused(
    simulator: Simulator, fake_clock: FakeClock, observer: RecordingObserver
) -> None:
    late = replace(fake_clock.clock, wall=lambda: 1_000_000_000.0)
    async with Client(simulator.url, _Rotating(CREDENTIAL), observer, clock=late) as client:
        with pytest.raises(AuthRefused) as caught:
            await client.list_data_sources()
    assert caught.value.code == "InvalidTimeStamp.Expired"


async def test_other_operations_work_after_permission_refused(
    simulator: Simulator, client: Client, observer: RecordingObserver
) -> None:
    simulator.identities.add(
        Identity("LTAI-EXAMPLE", "not-a-secret", actions=frozenset({"odps:ListMmsDataSources"})),
    )
    await client.list_data_sources()
    with pytest.raises(PermissionRefused):
        await client.list_jobs(SOURCE)
    assert observer.reasons == [None, "permission"]


class _Rotating:
    """Credentials that change after a rejection."""

    def __init__(self, *credentials: Credential | CredentialsUnavailable) -> None:
        self.left = list(credentials)
        self.forgotten = 0

    async def get(self) -> Credential:
        if isinstance(self.left[0], CredentialsUnavailable):
            raise self.left[0]
        return self.left[0]

    def forget(self, rejected: Credential) -> None:
        assert rejected == self.left[0]
        self.forgotten += 1
        if len(self.left) > 1:
            del self.left[0]


async def test_a_rejected_credential_is_replaced(
    simulator: Simulator, client_on: MakeClient, observer: RecordingObserver
) -> None:
    source = _Rotating(Credential("LTAI-EXAMPLE", "expired"), CREDENTIAL)
    assert (await client_on(simulator.url, credentials=source).list_data_sources()).total == 3
    assert (source.forgotten, observer.reasons, observer.retries) == (1, ["auth", None], {"ListMmsDataSources": 1})


async def test_only_one_replacement_credential_is_tried(
    simulator: Simulator, client_on: MakeClient, observer: RecordingObserver
) -> None:
    """An assumed role returns a new key each time; without a limit, retries would never end."""
    source = _Rotating(Credential("LTAI-EXAMPLE", "expired"), Credential("LTAI-EXAMPLE", "wrong"), CREDENTIAL)
    with pytest.raises(AuthRefused):
        await client_on(simulator.url, credentials=source).list_data_sources()
    assert (source.forgotten, observer.reasons) == (2, ["auth", "auth"])


async def test_create_job_is_retried_with_a_new_key(simulator: Simulator, client_on: MakeClient) -> None:
    client = client_on(simulator.url, credentials=_Rotating(Credential("LTAI-EXAMPLE", "expired"), CREDENTIAL))
    table = next(simulator.world.truth().tables(SOURCE))
    created = await client.create_job(SOURCE, JobRequest(name="once", src_db_name=table.db_name))
    assert (await client.get_async_task(SOURCE, created.async_task_id)).status is not None
    assert simulator.calls["CreateMmsJob", SOURCE] == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="error", status=400, code="SignatureNonceUsed"),
        Fault(kind="error", status=400, code="InvalidTimeStamp.Expired"),
        Fault(kind="html", status=401),
        Fault(kind="code_in_200", code="InvalidSecurityToken.Expired"),
    ],
    ids=["nonce", "clock", "gateway", "success"],
)
async def test_create_job_is_not_retried_after_an_uncertain_rejection(
    simulator: Simulator, client_on: MakeClient, fault: Fault
) -> None:
    """The same request may have been executed before, or another key would not help."""
    simulator.faults.add(fault)
    source = _Rotating(CREDENTIAL, Credential("LTAI-EXAMPLE", "another"))
    with pytest.raises(AuthRefused):
        await client_on(simulator.url, credentials=source).create_job(SOURCE, JobRequest(src_db_name="sales"))
    assert simulator.calls["CreateMmsJob", SOURCE] == 1


async def test_other_errors_keep_the_credential(simulator: Simulator, client_on: MakeClient) -> None:
    source = _Rotating(CREDENTIAL)
    client = client_on(simulator.url, credentials=source)
    for code in ("NoPermission", "DataSourceNotFound", "InternalError"):
        simulator.faults.add(Fault(kind="error", status=403, code=code, times=1))
        with pytest.raises((PermissionRefused, NotFound, RequestRejected)):
            await client.get_table(SOURCE, 10**9)
    assert source.forgotten == 0


async def test_without_credentials_nothing_is_sent(
    simulator: Simulator, client_on: MakeClient, observer: RecordingObserver
) -> None:
    client = client_on(simulator.url, credentials=_Rotating(CredentialsUnavailable("no credentials: OSError")))
    with pytest.raises(CredentialsUnavailable):
        await client.list_data_sources()
    assert not simulator.calls
    assert (observer.reasons, observer.retries) == (["credentials"], {})


@pytest.mark.parametrize(
    "credential",
    [
        Credential("LTAI\nEXAMPLE", "canary"),
        Credential("LTAI-EXAMPLE", "canary", "canary\r\nx-acs-action: a"),
        Credential("LTAI-EXAMPLE", "canary\udc80"),
        Credential("LTAI-EXAMPLE", "canary", "canary\udc80"),
    ],
    ids=["key", "token", "secret", "undecodable token"],
)
async def test_a_credential_with_invalid_characters_is_not_sent(
    simulator: Simulator, client_on: MakeClient, observer: RecordingObserver, credential: Credential
) -> None:
    """For example from a file with two lines, or in another encoding."""
    with pytest.raises(CredentialsUnavailable) as caught:
        await client_on(simulator.url, credentials=credential).list_data_sources()
    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert not simulator.calls
    assert observer.reasons == ["credentials"]


async def test_concurrent_calls_succeed(simulator: Simulator, client: Client) -> None:
    truth = {table.id: table for table in simulator.world.truth().tables(SOURCE)}
    tables = await asyncio.gather(*(client.get_table(SOURCE, number) for number in truth for _ in range(10)))
    assert all(truth[table.id] == table for table in tables)
    assert simulator.calls["GetMmsTable", SOURCE] == 10 * len(truth)


async def test_large_responses_are_decoded_one_at_a_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding takes many times the size of the response."""
    alone = threading.Lock()
    met = threading.Event()

    def reading(*arguments: Any) -> Any:  # noqa: ANN401 - replaces decode
        if not alone.acquire(blocking=False):
            met.set()
            return decode(*arguments)
        met.wait(0.02)  # a second call would arrive in this time
        alone.release()
        return decode(*arguments)

    monkeypatch.setattr(client_module, "LARGE_RESPONSE_BYTES", 0)
    monkeypatch.setattr(protocol, "decode", reading)
    await asyncio.gather(*(client.jobs_page(SOURCE, JobFilter()) for _ in range(8)))
    assert not met.is_set()


async def test_a_closed_client_can_be_used_again(simulator: Simulator, client: Client) -> None:
    await client.list_data_sources()
    await client.close()
    await client.close()
    assert (await client.list_data_sources()).total == 3
    assert simulator.calls["ListMmsDataSources", None] == 2


async def test_the_endpoint_can_have_a_trailing_slash_and_ipv6(client_on: MakeClient) -> None:
    server = Simulator(World(WorldOptions(sources=1, special_sources=False), clock=ManualClock()))
    await server.start(host="::1")
    try:
        assert (await client_on(f"{server.url}/").list_data_sources()).total == 1
    finally:
        await server.stop()


async def test_a_read_only_client_sends_no_write(
    client_on: MakeClient, simulator: Simulator, observer: RecordingObserver
) -> None:
    reader = client_on(simulator.url, may_write=False)
    with pytest.raises(WriteForbidden, match="CreateMmsJob was not sent"):
        await reader.create_job(SOURCE, JobRequest(src_db_name="sales"))
    assert (simulator.calls.total(), observer.attempts) == (0, [])
