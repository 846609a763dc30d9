"""A wall clock that jumps, keys that rotate in the middle: what is served then, and afterwards."""

import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.simulator import Fault, Identity, ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY, config_on
from tests.faults.stage import domain
from tests.harness import harness_on

DAY = 86_400.0


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forwards", "backwards"])
async def test_a_wall_clock_that_jumps_makes_nothing_stale(
    simulator: Simulator, clock: ManualClock, jump: float
) -> None:
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


async def test_a_clock_that_is_off_is_refused_by_mms_told_so_and_mended(clock: ManualClock) -> None:
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
    """Hands out one temporary key after another."""

    def __init__(self) -> None:
        self.generation = 1
        self.asked = 0

    @property
    def identity(self) -> Identity:
        """The key that it hands out now."""
        return Identity(f"STS.{self.generation}", "not-a-secret", f"token-{self.generation}")

    async def answer(self, _: web.Request) -> web.Response:
        """Answer like a credentials URI."""
        self.asked += 1
        key = self.identity
        parts = {"AccessKeyId": key.access_key_id, "AccessKeySecret": key.access_key_secret}
        more = {"SecurityToken": key.security_token, "Expiration": "2099-01-01T00:00:00Z", "Code": "Success"}
        return web.json_response({**parts, **more})


@pytest.fixture
async def issuer_url() -> AsyncIterator[tuple[Issuer, str]]:
    """Provide an issuer and where it is."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/", issuer.answer)
    async with TestServer(app) as server:
        yield issuer, str(server.make_url("/"))


async def test_a_key_that_expires_in_the_middle_of_a_refresh_is_replaced(
    simulator: Simulator, clock: ManualClock, issuer_url: tuple[Issuer, str]
) -> None:
    """One call fails with the old one, and those after it go on with the new one."""
    issuer, url = issuer_url
    simulator.identities.add(issuer.identity)
    account = {"credentials": {"type": "credentials_uri", "uri": url}, "concurrency": 1}
    async with harness_on(config_on(simulator.url, account), clock) as harness:
        simulator.faults.add(
            Fault(kind="error", operation="ListMmsJobs", status=400, code="InvalidSecurityToken.Expired", times=1)
        )
        served = await harness.refresh()
        assert served.value("mms_api_request_failures_total", operation="ListMmsJobs", reason="auth") == 1
        assert list(served.by("mms_datasource_refresh_success", "source_id").values()).count(0) == 1
        assert issuer.asked == 2


async def test_a_key_that_was_rotated_is_taken_up_by_the_next_refresh(
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
        served = await harness.refresh()
        assert served.value("mms_up") == 0
        assert served.samples["mms_tables"] == before.samples["mms_tables"]
        assert domain(await harness.refresh()) == domain(before)
