"""Output during and after clock jumps and key rotation."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.collect.collectors.watch import RETRY_SECONDS
from exporter.collect.permissions import REFUSAL_SECONDS
from exporter.simulator import Fault, Identity, ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.faults.stage import domain
from tests.harness import Harness, eventually, harness_on

DAY = 86_400.0
IDLE_SECONDS = 600.0
LATENCY_SECONDS = 0.2


jumps = pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forwards", "backwards"])


@jumps
async def test_a_clock_jump_makes_nothing_stale(simulator: Simulator, clock: ManualClock, jump: float) -> None:
    wall = ManualClock()
    async with harness_on(config_on(simulator.url), clock, wall=wall) as harness:
        before = await harness.refresh()
        wall.advance(jump)
        clock.advance(1)
        simulator.faults.add(Fault(kind="error"))
        kept = await harness.refresh()
        assert kept.samples["mms_tables"] == before.samples["mms_tables"]
        assert kept.samples["mms_jobs"] == before.samples["mms_jobs"]
        simulator.faults.clear()
        served = await harness.refresh()
        assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {1}
        assert set(served.samples["mms_refresh_last_success_timestamp_seconds"].values()) == {wall()}


@jumps
@pytest.mark.parametrize(
    ("operation", "seconds"),
    [("ListMmsJobs", IDLE_SECONDS), ("GetMmsTable", RETRY_SECONDS), ("ListMmsTasks", REFUSAL_SECONDS)],
    ids=["of an idle source", "of what is missing", "of what is not permitted"],
)
async def test_a_clock_jump_does_not_move_refreshes(
    clock: ManualClock, operation: str, seconds: float, jump: float
) -> None:
    options = WorldOptions(sources=2, idle_share=1, stopped_share=0, special_sources=False, incidents=False)
    world, wall = World(options, clock=clock), ManualClock()
    granted = ("ListMmsDataSources", "ListMmsJobs", "ListMmsTables", "ListMmsPartitions", "GetMmsTable")
    caller = replace(IDENTITY, actions=frozenset(f"odps:{each}" for each in granted))
    async with Simulator(world, identities=[caller]) as simulator:
        config = config_on(
            simulator.url,
            jobs={"idle_interval": f"{IDLE_SECONDS:g}s"},
            tasks={"enabled": True},
            watch={"tables": [{"source_id": 2_000_001, "table_ids": [1_000_000]}]},
        )
        async with harness_on(config, clock, wall=wall) as harness:
            await harness.refresh()
            assert calls_of(simulator, operation) > 0
            simulator.calls_reset()
            wall.advance(jump)
            clock.advance(seconds - 1)
            await harness.refresh()
            assert calls_of(simulator, operation) == 0
            clock.advance(1)
            await harness.refresh()
            assert calls_of(simulator, operation) > 0


def calls_of(simulator: Simulator, operation: str) -> int:
    """Return the requests of an operation for all sources."""
    return sum(times for (called, _), times in simulator.calls.items() if called == operation)


async def test_clock_skew_is_rejected_by_mms_reported_and_recovered(clock: ManualClock) -> None:
    skew = DAY
    world = World(WorldOptions(sources=2), clock=clock)
    async with (
        Simulator(world, identities=[IDENTITY], wall_clock=lambda: time.time() + skew) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        served = await harness.refresh()
        assert served.value("mms_up") == 0
        assert served.value("mms_api_request_failures_total", operation="ListMmsDataSources", reason="auth") == 1
        skew = 0.0
        assert (await harness.refresh()).value("mms_up") == 1


class Issuer:
    """Issues temporary keys, one after the other."""

    def __init__(self) -> None:
        self.generation = 1
        self.asked = 0

    @property
    def identity(self) -> Identity:
        """The current key."""
        return Identity(f"STS.{self.generation}", "not-a-secret", f"token-{self.generation}")

    async def answer(self, _: web.Request) -> web.Response:
        """Respond like a credentials URI."""
        self.asked += 1
        key = self.identity
        parts = {"AccessKeyId": key.access_key_id, "AccessKeySecret": key.access_key_secret}
        more = {"SecurityToken": key.security_token, "Expiration": "2099-01-01T00:00:00Z", "Code": "Success"}
        return web.json_response({**parts, **more})


@pytest.fixture
async def issuer_url() -> AsyncIterator[tuple[Issuer, str]]:
    """Provide an issuer and its URL."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/", issuer.answer)
    async with TestServer(app) as server:
        yield issuer, str(server.make_url("/"))


AT_A_TIME = 8


@asynccontextmanager
async def in_the_middle_of_a_refresh(
    clock: ManualClock, issuer: Issuer, url: str
) -> AsyncIterator[tuple[Simulator, Harness, asyncio.Task[Exposition]]]:
    """Provide a refresh that reads the jobs of many sources."""
    world = World(WorldOptions(sources=3 * AT_A_TIME, tables=4, partitions=2, finished_jobs_per_source=2), clock=clock)
    account = {"credentials": {"type": "credentials_uri", "uri": url}, "concurrency": AT_A_TIME}
    async with (
        Simulator(world, identities=[issuer.identity], latency_seconds=LATENCY_SECONDS) as simulator,
        harness_on(config_on(simulator.url, account), clock) as harness,
    ):
        refreshing = asyncio.create_task(harness.refresh())
        # The key is checked after the latency: requests that have started are now within it.
        await eventually(lambda: simulator.calls["ListMmsDataSources", None] == 1)
        yield simulator, harness, refreshing


def refused(served: Exposition) -> float:
    """Return the requests rejected for their key."""
    return sum(served.having("mms_api_request_failures_total", reason="auth").values())


async def test_a_key_that_expires_during_a_refresh_is_replaced_without_a_failure(
    clock: ManualClock, issuer_url: tuple[Issuer, str]
) -> None:
    """Rejected requests are sent again with the new key, which is fetched once."""
    issuer, url = issuer_url
    async with in_the_middle_of_a_refresh(clock, issuer, url) as (simulator, harness, refreshing):
        simulator.identities.expire(issuer.identity.access_key_id)
        issuer.generation += 1
        simulator.identities.add(issuer.identity)
        simulator.latency_seconds = 0.0
        served = await refreshing
        assert 2 <= refused(served) <= AT_A_TIME
        assert sum(served.samples["mms_api_retries_total"].values()) == refused(served)
        assert issuer.asked == 2
        async with harness_on(config_on(simulator.url, {"credentials": key_of(issuer)}), clock) as healthy:
            right = domain(await healthy.refresh())
        assert domain(served) == right
        assert domain(await harness.refresh()) == right
        assert issuer.asked == 2


async def test_a_key_that_expires_before_its_successor_fails_some_sources(
    clock: ManualClock, issuer_url: tuple[Issuer, str]
) -> None:
    """At most `concurrency` sources fail, if the issuer has a new key after that."""
    issuer, url = issuer_url
    async with in_the_middle_of_a_refresh(clock, issuer, url) as (simulator, harness, refreshing):
        simulator.identities.expire(issuer.identity.access_key_id)
        await eventually(lambda: issuer.asked > 1)
        issuer.generation += 1
        simulator.identities.add(issuer.identity)
        simulator.latency_seconds = 0.0
        freshness = (await refreshing).by("mms_datasource_refresh_success", "source_id")
        assert 1 <= list(freshness.values()).count(0) <= AT_A_TIME
        async with harness_on(config_on(simulator.url, {"credentials": key_of(issuer)}), clock) as healthy:
            assert domain(await harness.refresh()) == domain(await healthy.refresh())


def key_of(issuer: Issuer) -> dict[str, str]:
    """Return the credentials section with the current key."""
    key = issuer.identity
    secrets = {"access_key_secret": key.access_key_secret, "security_token": str(key.security_token)}
    return {"type": "sts", "access_key_id": key.access_key_id, **secrets}


async def test_a_key_rotated_between_refreshes_is_used_by_the_next(
    simulator: Simulator, clock: ManualClock, issuer_url: tuple[Issuer, str]
) -> None:
    issuer, url = issuer_url
    simulator.identities.add(issuer.identity)
    account = {"credentials": {"type": "credentials_uri", "uri": url}}
    async with harness_on(config_on(simulator.url, account), clock) as harness:
        before = await harness.refresh()
        simulator.identities.expire(issuer.identity.access_key_id)
        issuer.generation += 1
        simulator.identities.add(issuer.identity)
        assert domain(await harness.refresh()) == domain(before)
        assert issuer.asked == 2


async def test_an_expired_key_without_successor_is_reported_and_values_are_kept(
    simulator: Simulator, clock: ManualClock, issuer_url: tuple[Issuer, str]
) -> None:
    issuer, url = issuer_url
    simulator.identities.add(issuer.identity)
    account = {"credentials": {"type": "credentials_uri", "uri": url}}
    async with harness_on(config_on(simulator.url, account), clock) as harness:
        before = await harness.refresh()
        simulator.identities.expire(issuer.identity.access_key_id)
        served = await harness.refresh()
        assert served.value("mms_up") == 0
        assert served.samples["mms_tables"] == before.samples["mms_tables"]
        issuer.generation += 1
        simulator.identities.add(issuer.identity)
        assert domain(await harness.refresh()) == domain(before)
