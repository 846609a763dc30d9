"""The client with each fault of MMS: reason, attempts and observer events."""

import asyncio

import msgspec
import pytest

from exporter.errors import AnswerTooLarge, ConnectionFailed, MmsError, ServerFailed, Throttled
from exporter.mms.client import MAX_ATTEMPTS, Client
from exporter.mms.models.records import DataSource
from exporter.mms.protocol import JobFilter, JobRequest
from exporter.mms.throttle import FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, Limits, backoff_seconds
from exporter.simulator import Fault, ManualClock, Simulator
from exporter.simulator.faults.fault_plan import KINDS
from tests.mms.conftest import FakeClock, MakeClient, RecordingObserver

SOURCE = 2_000_001
SHORT = Limits(requests_per_second=0, timeout_seconds=0.5)

FAILING: list[tuple[Fault, str, int]] = [
    (Fault(kind="error"), "server", MAX_ATTEMPTS),
    (Fault(kind="error", status=502, code="BadGateway", lower_case=True), "server", MAX_ATTEMPTS),
    (Fault(kind="error", status=503, code="ServiceUnavailable"), "server", MAX_ATTEMPTS),
    (Fault(kind="error", status=400, code="InvalidParameter"), "rejected", 1),
    (Fault(kind="error", status=403, code="NoPermission"), "permission", 1),
    (Fault(kind="error", status=404, code="DataSourceNotFound"), "not_found", 1),
    (Fault(kind="error", status=400, code="SignatureDoesNotMatch"), "auth", 1),
    (Fault(kind="error", status=400, code="InvalidSecurityToken.Expired"), "auth", 1),
    (Fault(kind="error", status=408, code="RequestTimeout"), "timeout", MAX_ATTEMPTS),
    (Fault(kind="throttle"), "throttled", MAX_ATTEMPTS),
    (Fault(kind="throttle", status=503, code="Throttling.Api"), "throttled", MAX_ATTEMPTS),
    (Fault(kind="throttle", status=400, code="Throttling", retry_after_ms=100), "throttled", MAX_ATTEMPTS),
    (Fault(kind="code_in_200"), "server", MAX_ATTEMPTS),
    (Fault(kind="code_in_200", code="NoPermission", lower_case=True), "permission", 1),
    (Fault(kind="html"), "malformed", MAX_ATTEMPTS),
    (Fault(kind="html", status=502), "server", MAX_ATTEMPTS),
    (Fault(kind="html", status=403), "permission", 1),
    (Fault(kind="empty"), "malformed", MAX_ATTEMPTS),
    (Fault(kind="empty", status=504), "server", MAX_ATTEMPTS),
    (Fault(kind="truncated"), "malformed", MAX_ATTEMPTS),
    (Fault(kind="answer", text="[]"), "malformed", MAX_ATTEMPTS),
    (Fault(kind="deep_nesting", size=100_000), "malformed", MAX_ATTEMPTS),
    (Fault(kind="redirect", url="http://127.0.0.1:9/"), "malformed", MAX_ATTEMPTS),
    (Fault(kind="short_body"), "connection", MAX_ATTEMPTS),
    (Fault(kind="reset"), "connection", MAX_ATTEMPTS),
    (Fault(kind="reset_body"), "connection", MAX_ATTEMPTS),
    (Fault(kind="lost_answer"), "connection", MAX_ATTEMPTS),
    (Fault(kind="huge", size=33 * 1024 * 1024), "too_large", 1),
    (Fault(kind="endless"), "too_large", 1),
]
SLOW = [Fault(kind="hang"), Fault(kind="drip", bytes_per_second=1), Fault(kind="latency", seconds=3600)]
TOLERATED = {
    *("nulls", "wrong_types", "missing", "broken_rows", "unknown_status", "shift", "total", "page_cap"),
    *("lost_row", "repeated_row"),
    *("invalid_utf8", "lone_surrogate", "meanwhile"),
}


def name_of(fault: Fault) -> str:
    return "-".join(str(part) for part in (fault.kind, fault.status, fault.code) if part)


def test_every_fault_of_the_simulator_is_tested() -> None:
    assert {fault.kind for fault, *_ in FAILING} | {fault.kind for fault in SLOW} | TOLERATED == set(KINDS)


@pytest.mark.parametrize(("fault", "reason", "attempts"), FAILING, ids=[name_of(fault) for fault, *_ in FAILING])
async def test_each_fault_has_its_reason_and_number_of_attempts(
    simulator: Simulator, client: Client, observer: RecordingObserver, fault: Fault, reason: str, attempts: int
) -> None:
    simulator.faults.add(fault)
    with pytest.raises(MmsError) as caught:
        await client.list_jobs(SOURCE)
    assert caught.value.reason == reason
    assert simulator.calls == {("ListMmsJobs", SOURCE): attempts}
    assert observer.reasons == [reason] * attempts
    assert observer.retries.total() == attempts - 1
    assert {operation for operation, *_ in observer.attempts} == {"ListMmsJobs"}


@pytest.mark.parametrize(("fault", "reason", "attempts"), FAILING, ids=[name_of(fault) for fault, *_ in FAILING])
async def test_a_temporary_fault_is_retried_if_retryable(
    simulator: Simulator, client: Client, observer: RecordingObserver, fault: Fault, reason: str, attempts: int
) -> None:
    """The simulator rejects a reused nonce, so that each attempt must have a new one."""
    number = simulator.faults.add(msgspec.structs.replace(fault, times=2))
    if attempts == 1:
        with pytest.raises(MmsError):
            await client.list_jobs(SOURCE)
        assert simulator.faults.happened(number) == 1
    else:
        assert (await client.list_jobs(SOURCE)).is_complete
        assert observer.reasons == [reason, reason, None]


@pytest.mark.parametrize("fault", SLOW, ids=name_of)
async def test_a_slow_response_times_out(
    simulator: Simulator, client_on: MakeClient, observer: RecordingObserver, fault: Fault
) -> None:
    simulator.faults.add(fault)
    with pytest.raises(MmsError) as caught:
        await client_on(simulator.url, limits=SHORT).list_jobs(SOURCE)
    assert caught.value.reason == "timeout"
    assert set(observer.reasons) == {"timeout"}
    assert 2 <= len(observer.reasons) <= 3, "as many as fit in three times the timeout"
    assert all(0.4 < seconds < 30 for _, seconds, _ in observer.attempts)


async def test_a_late_response_within_the_timeout_is_accepted(
    simulator: Simulator, client: Client, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="latency", seconds=0.2))
    assert (await client.list_jobs(SOURCE)).is_complete
    assert observer.attempts[0][1] >= 0.2


async def test_a_slow_body_is_read_completely(simulator: Simulator, client: Client) -> None:
    expected = (await client.list_jobs(SOURCE)).rows
    simulator.faults.add(Fault(kind="drip", bytes_per_second=50_000))
    assert (await client.list_jobs(SOURCE)).rows == expected


async def test_a_failing_operation_does_not_affect_another(simulator: Simulator, client: Client) -> None:
    simulator.faults.add(Fault(kind="error", operation="ListMmsJobs"))
    failed, fine = await asyncio.gather(client.list_jobs(SOURCE), client.list_data_sources(), return_exceptions=True)
    assert isinstance(failed, ServerFailed)
    assert not isinstance(fine, BaseException)
    assert fine.is_complete


POSTED = [each for each in FAILING if each[0].kind not in {"truncated", "short_body", "reset_body"}]


@pytest.mark.parametrize(("fault", "reason", "_"), POSTED, ids=[name_of(fault) for fault, *_ in POSTED])
async def test_create_job_is_retried_only_after_throttling(
    simulator: Simulator, client: Client, observer: RecordingObserver, fault: Fault, reason: str, _: int
) -> None:
    simulator.faults.add(fault)
    with pytest.raises(MmsError) as caught:
        await client.create_job(SOURCE, JobRequest(src_db_name="no such"))
    attempts = MAX_ATTEMPTS if reason == "throttled" else 1
    # If the fault applies only to the response, the invalid request is rejected first, also without a retry.
    assert caught.value.reason in {reason, "not_found", "rejected"}
    assert simulator.calls == {("CreateMmsJob", SOURCE): attempts}
    assert observer.retries.total() == attempts - 1


async def test_a_lost_response_does_not_create_a_second_job(
    simulator: Simulator, client: Client, world_clock: ManualClock
) -> None:
    table = next(simulator.world.truth().tables(SOURCE))
    simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
    with pytest.raises(ConnectionFailed):
        await client.create_job(SOURCE, JobRequest(name="once", src_db_name=table.db_name))
    world_clock.advance(60)
    assert [job.name for job in simulator.world.truth().jobs(SOURCE)].count("once") == 1
    assert simulator.calls["CreateMmsJob", SOURCE] == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="html", status=429),
        Fault(kind="error", status=429, code="TooManyRequests"),
        Fault(kind="code_in_200", code="Throttling.User"),
    ],
    ids=name_of,
)
async def test_create_job_is_not_retried_after_throttling_without_mms_code(
    simulator: Simulator, client: Client, fault: Fault
) -> None:
    simulator.faults.add(fault)
    with pytest.raises(Throttled):
        await client.create_job(SOURCE, JobRequest(src_db_name="no such"))
    assert simulator.calls["CreateMmsJob", SOURCE] == 1


async def test_a_throttled_job_is_created_once(
    simulator: Simulator, client: Client, observer: RecordingObserver
) -> None:
    table = next(simulator.world.truth().tables(SOURCE))
    simulator.faults.add(Fault(kind="throttle", operation="CreateMmsJob", times=2))
    created = await client.create_job(SOURCE, JobRequest(src_db_name=table.db_name))
    assert observer.reasons == ["throttled", "throttled", None]
    assert (await client.get_async_task(SOURCE, created.async_task_id)).status is not None


def lost(observer: RecordingObserver) -> list[str]:
    return [name for _, names in observer.lost for name in names]


@pytest.mark.parametrize("kind", ["nulls", "wrong_types", "missing"])
async def test_broken_fields_become_none(
    simulator: Simulator, client: Client, observer: RecordingObserver, kind: str
) -> None:
    truth = simulator.world.truth().data_sources()
    simulator.faults.add(Fault(kind=kind, fields=("tablesDoneNum", "name")))  # type: ignore[arg-type]  # one of the kinds
    rows = (await client.list_data_sources()).rows
    assert [(row.name, row.tables_done_num) for row in rows] == [(None, None)] * 3
    assert [row.partitions_done_num for row in rows] == [truth[row.id].partitions_done_num for row in rows]
    assert sorted(lost(observer)) == ["name"] * 3 + ["tablesDoneNum"] * 3
    assert observer.reasons == [None]


@pytest.mark.parametrize("value", [None, 7, "row", [], {}], ids=repr)
async def test_broken_rows_are_dropped(
    simulator: Simulator, client: Client, observer: RecordingObserver, value: object
) -> None:
    truth = simulator.world.truth().data_sources()
    simulator.faults.add(Fault(kind="broken_rows", rows=1, value=value))
    rows = (await client.list_data_sources()).rows
    assert list(rows) == list(truth.values())[1:]
    assert "row" in lost(observer)
    assert "total" in lost(observer), "`total` is higher than the number of rows"


async def test_an_unknown_status_is_passed_on(
    simulator: Simulator, client: Client, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="unknown_status", value="PAUSED"))
    assert {row.status for row in (await client.list_data_sources()).rows} == {"PAUSED"}
    assert observer.lost == []


@pytest.mark.parametrize("kind", ["invalid_utf8", "lone_surrogate"])
async def test_invalid_unicode_is_replaced(simulator: Simulator, client: Client, kind: str) -> None:
    simulator.faults.add(Fault(kind=kind))  # type: ignore[arg-type]  # one of the kinds
    rows: tuple[DataSource, ...] = (await client.list_data_sources()).rows
    names = [row.name or "" for row in rows]
    assert len("".join(names).encode()) > 3
    assert [row.tables_done_num is None for row in rows] == [False] * 3


def test_backoff_doubles_up_to_its_limit_with_full_jitter() -> None:
    waits = [backoff_seconds(attempt, 1.0) for attempt in range(1, 12)]
    assert waits[:3] == [FIRST_BACKOFF_SECONDS, 2 * FIRST_BACKOFF_SECONDS, 4 * FIRST_BACKOFF_SECONDS]
    assert max(waits) == waits[-1] == MAX_BACKOFF_SECONDS
    assert [backoff_seconds(attempt, 0.0) for attempt in range(1, 12)] == [0.0] * 11
    assert backoff_seconds(2, 0.5) == FIRST_BACKOFF_SECONDS


async def test_retries_back_off_with_jitter(simulator: Simulator, client_on: MakeClient, fake_clock: FakeClock) -> None:
    simulator.faults.add(Fault(kind="error"))
    with pytest.raises(ServerFailed):
        await client_on(simulator.url, jitter=0.5).list_jobs(SOURCE)
    assert fake_clock.slept == [0.25, 0.5, 1.0]


async def test_no_retry_starts_after_three_times_the_timeout(
    simulator: Simulator, client_on: MakeClient, fake_clock: FakeClock, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="error"))
    limits = Limits(requests_per_second=0, timeout_seconds=0.3)
    with pytest.raises(ServerFailed):
        await client_on(simulator.url, limits=limits, jitter=0.999).list_jobs(SOURCE)
    assert len(fake_clock.slept) == 1, "the second wait would end after 0.9 s"
    assert observer.reasons == ["server"] * 2


@pytest.mark.parametrize(("size", "is_taken"), [(7, True), (9, False)])
async def test_the_response_size_is_limited(simulator: Simulator, client: Client, size: int, *, is_taken: bool) -> None:
    """A body of spaces: below the limit it is read and found malformed."""
    simulator.faults.add(Fault(kind="answer", status=400, body=b" " * (size * 1024 * 1024)))
    with pytest.raises(MmsError) as caught:
        await client.list_jobs(SOURCE, JobFilter())
    assert isinstance(caught.value, AnswerTooLarge) is not is_taken


async def test_a_throttled_error_has_the_requested_wait(simulator: Simulator, client: Client) -> None:
    simulator.faults.add(Fault(kind="throttle", retry_after_ms=1500))
    with pytest.raises(Throttled) as caught:
        await client.list_jobs(SOURCE)
    assert caught.value.wait_seconds == 1.5
