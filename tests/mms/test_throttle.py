"""Throttling, as seen by the server: requested waits, rate limit, concurrency."""

import asyncio

import pytest
from aiohttp import web

from exporter.errors import Throttled
from exporter.mms.client import Client
from exporter.mms.protocol import JobRequest
from exporter.mms.throttle import MAX_SERVER_WAIT_SECONDS, Limits
from exporter.simulator import Fault, Simulator
from tests.mms.conftest import FakeClock, MakeClient, RecordingObserver, Serve, answering, sample

SOURCE = 2_000_001
TABLE = PARTITION = 11


async def until(is_so: asyncio.Event) -> None:
    await asyncio.wait_for(is_so.wait(), 30)


@pytest.mark.parametrize("header", ["x-acs-retry-after", "x-ratelimit-user-api", "x-ratelimit-user"])
async def test_retry_after_is_respected(
    header: str, simulator: Simulator, client: Client, fake_clock: FakeClock, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="throttle", retry_after_ms=2500, wait_header=header, times=1))
    assert (await client.list_jobs(SOURCE)).is_complete
    assert fake_clock.slept == [2.5]
    assert observer.reasons == ["throttled", None]


async def test_retry_after_is_respected_for_other_errors(
    serve: Serve, client_on: MakeClient, fake_clock: FakeClock
) -> None:
    answers = [web.Response(status=503, headers={"Retry-After": "3"}), web.Response(body=sample("GetMmsTable"))]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    assert (await client_on(await serve(answer)).get_table(SOURCE, TABLE)).id == 22
    assert fake_clock.slept == [3.0]


async def test_the_longer_of_backoff_and_retry_after_applies(
    simulator: Simulator, client_on: MakeClient, fake_clock: FakeClock
) -> None:
    simulator.faults.add(Fault(kind="throttle", retry_after_ms=300, times=3))
    await client_on(simulator.url, jitter=0.5).list_jobs(SOURCE)
    assert fake_clock.slept == [0.3, 0.5, 1.0]


async def test_a_pause_applies_to_one_operation(
    simulator: Simulator, client: Client, fake_clock: FakeClock, observer: RecordingObserver
) -> None:
    fake_clock.gate = asyncio.Event()
    partition = next(simulator.world.truth().partitions(SOURCE))
    simulator.faults.add(Fault(kind="throttle", operation="GetMmsTable", retry_after_ms=2500, times=1))
    first = asyncio.create_task(client.get_table(SOURCE, 1))
    async with asyncio.timeout(10):
        while not fake_clock.slept:
            await client.get_partition(SOURCE, partition.id)
        others = [asyncio.create_task(client.get_table(SOURCE, 2)) for _ in range(3)]
        while len(fake_clock.slept) < 4:
            await client.get_partition(SOURCE, partition.id)
    assert simulator.calls["GetMmsTable", SOURCE] == 1
    fake_clock.gate.set()
    tables = await asyncio.gather(first, *others)
    assert [table.id for table in tables] == [1, 2, 2, 2]
    held_back = [seconds for operation, seconds in observer.waits if operation == "GetMmsTable"]
    assert held_back == [pytest.approx(2.5, abs=1)] * 3
    assert {operation for operation, _ in observer.waits} == {"GetMmsTable"}


async def test_a_pause_applies_to_calls_already_in_the_queue(
    simulator: Simulator, client_on: MakeClient, fake_clock: FakeClock
) -> None:
    client = client_on(simulator.url, limits=Limits(requests_per_second=0, concurrency=1))
    fake_clock.gate = asyncio.Event()
    simulator.faults.add(Fault(kind="throttle", operation="GetMmsTable", retry_after_ms=2500, times=1))
    calls = [asyncio.create_task(client.get_table(SOURCE, 1)) for _ in range(3)]
    async with asyncio.timeout(10):
        while len(fake_clock.slept) < 3:
            await client.list_data_sources()
    assert simulator.calls["GetMmsTable", SOURCE] == 1
    fake_clock.gate.set()
    assert [table.id for table in await asyncio.gather(*calls)] == [1, 1, 1]


async def test_a_paused_call_holds_no_slot(simulator: Simulator, client_on: MakeClient, fake_clock: FakeClock) -> None:
    client = client_on(simulator.url, limits=Limits(requests_per_second=0, concurrency=1))
    fake_clock.gate = asyncio.Event()
    simulator.faults.add(Fault(kind="throttle", operation="GetMmsTable", retry_after_ms=2500, times=1))
    held = asyncio.create_task(client.get_table(SOURCE, 1))
    async with asyncio.timeout(10):
        while not fake_clock.slept:
            await client.list_data_sources()
        assert (await client.list_jobs(SOURCE)).is_complete
    assert not held.done()
    fake_clock.gate.set()
    assert (await held).id == 1


async def test_a_long_pause_raises_throttled(
    simulator: Simulator, client: Client, fake_clock: FakeClock, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="throttle", retry_after_ms=31_000, times=1))
    with pytest.raises(Throttled) as caught:
        await client.list_jobs(SOURCE)
    assert caught.value.wait_seconds == 31
    assert (fake_clock.slept, observer.reasons, observer.retries) == ([], ["throttled"], {})


async def test_calls_fail_unsent_during_a_long_pause(
    simulator: Simulator, client: Client, fake_clock: FakeClock, observer: RecordingObserver
) -> None:
    simulator.faults.add(Fault(kind="throttle", operation="ListMmsJobs", retry_after_ms=100_000, times=1))
    with pytest.raises(Throttled):
        await client.list_jobs(SOURCE)
    with pytest.raises(Throttled) as caught:
        await client.list_jobs(SOURCE)
    assert str(caught.value).startswith("ListMmsJobs was not sent: MMS asked to wait ")
    assert simulator.calls["ListMmsJobs", SOURCE] == 1
    assert observer.attempts[1:] == [], "an unsent call is no attempt"
    assert (fake_clock.slept, observer.retries) == ([], {}), "and is not retried"
    assert (await client.list_data_sources()).is_complete


async def test_calls_succeed_after_a_long_pause(simulator: Simulator, client: Client, fake_clock: FakeClock) -> None:
    simulator.faults.add(Fault(kind="throttle", operation="ListMmsJobs", retry_after_ms=100_000, times=1))
    with pytest.raises(Throttled):
        await client.list_jobs(SOURCE)
    fake_clock.ahead += 80
    assert (await client.list_jobs(SOURCE)).is_complete, "the remaining pause is short enough to wait for"
    assert fake_clock.slept == [pytest.approx(20, abs=2)]


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["forwards", "backwards"])
async def test_a_wall_clock_jump_does_not_affect_a_pause(
    serve: Serve, client_on: MakeClient, fake_clock: FakeClock, jump: float
) -> None:
    refusal = answering(b'{"Code": "Throttling.User"}', 429, x_acs_retry_after="100000")
    client = client_on(await serve(refusal))
    with pytest.raises(Throttled):
        await client.get_table(SOURCE, TABLE)
    fake_clock.wall_ahead += jump
    fake_clock.ahead += 40
    with pytest.raises(Throttled) as caught:
        await client.get_table(SOURCE, TABLE)
    assert caught.value.status is None, "the call is not sent"
    assert caught.value.wait_seconds == pytest.approx(60, abs=2)


async def test_a_pause_is_limited(simulator: Simulator, client: Client, fake_clock: FakeClock) -> None:
    simulator.faults.add(Fault(kind="throttle", retry_after_ms=10**10, times=1))
    with pytest.raises(Throttled):
        await client.list_jobs(SOURCE)
    fake_clock.ahead += MAX_SERVER_WAIT_SECONDS
    assert (await client.list_jobs(SOURCE)).is_complete
    assert fake_clock.slept == []


async def test_create_job_respects_retry_after(simulator: Simulator, client: Client, fake_clock: FakeClock) -> None:
    table = next(simulator.world.truth().tables(SOURCE))
    simulator.faults.add(Fault(kind="throttle", operation="CreateMmsJob", retry_after_ms=4000, times=1))
    assert (await client.create_job(SOURCE, JobRequest(src_db_name=table.db_name))).async_task_id
    assert fake_clock.slept == [4.0]


async def test_calls_respect_the_rate_limit(serve: Serve, client_on: MakeClient, observer: RecordingObserver) -> None:
    arrivals: list[float] = []

    async def answer(_: web.Request) -> web.Response:
        arrivals.append(asyncio.get_running_loop().time())
        return web.Response(body=sample("GetMmsTable"))

    client = client_on(await serve(answer), limits=Limits(requests_per_second=40, concurrency=16))
    await asyncio.gather(*(client.get_table(SOURCE, TABLE) for _ in range(9)))
    assert arrivals[-1] - arrivals[0] >= 8 / 40 * 0.9
    assert len(observer.waits) == 9
    assert sum(seconds for _, seconds in observer.waits) >= 0.8 * sum(range(9)) / 40


async def test_retries_respect_the_rate_limit(serve: Serve, client_on: MakeClient) -> None:
    arrivals: list[float] = []

    async def answer(_: web.Request) -> web.Response:
        arrivals.append(asyncio.get_running_loop().time())
        return web.Response(status=500)

    client = client_on(await serve(answer), limits=Limits(requests_per_second=20))
    await asyncio.gather(client.get_table(1, 1), client.get_table(1, 2), return_exceptions=True)
    assert len(arrivals) == 8
    assert arrivals[-1] - arrivals[0] >= 7 / 20 * 0.9


async def test_concurrency_is_limited(serve: Serve, client_on: MakeClient) -> None:
    running = most = 0
    is_full, may_end = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        nonlocal running, most
        if "partitions" in request.path:
            return web.Response(body=sample("GetMmsPartition"))
        running += 1
        most = max(most, running)
        if running == 3:
            is_full.set()
        await until(may_end)
        running -= 1
        return web.Response(body=sample("GetMmsTable"))

    url = await serve(answer)
    client = client_on(url, limits=Limits(requests_per_second=0, concurrency=3))
    calls = [asyncio.create_task(client.get_table(SOURCE, number)) for number in range(12)]
    await until(is_full)
    for _ in range(5):  # a fourth concurrent request would have arrived by now
        await client_on(url).get_partition(SOURCE, PARTITION)
    may_end.set()
    await asyncio.gather(*calls)
    assert most == 3


async def test_connections_are_reused(serve: Serve, client_on: MakeClient) -> None:
    peers = set()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(body=sample("GetMmsTable"))

    client = client_on(await serve(answer), limits=Limits(requests_per_second=0, concurrency=2))
    for _ in range(5):
        await asyncio.gather(client.get_table(1, 1), client.get_table(1, 2))
    assert len(peers) <= 2
