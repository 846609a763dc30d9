"""A reload keeps the values, connections, rate limit and backoff of accounts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.app.service import Service, refresh_once
from exporter.config.loading import Config, config_from
from exporter.exposition.telemetry import Telemetry
from exporter.sharding import Shard
from exporter.simulator import Fault, Identity, Simulator
from tests.conftest import IDENTITY, account_on, config_on
from tests.exposition_parser import Exposition, read
from tests.harness import eventually


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Provide a service; close it after the test."""
    running = Service(Telemetry(with_process=False))
    yield running
    await running.close()


def served(service: Service) -> Exposition:
    return read(service.publisher.body("text", gzip=False))


async def applied(service: Service, config: Config) -> None:
    """Apply a configuration and wait for the next publication."""
    await service.apply(config)
    loaded_at = service.status_input().load.at or 0.0
    await eventually(lambda: (service.status_input().published_at or 0.0) >= loaded_at)


@asynccontextmanager
async def hanging(simulator: Simulator, operation: str | None = None) -> AsyncIterator[int]:
    """Let all requests hang, or those of one operation; provide the number of the fault."""
    yield simulator.faults.add(Fault(kind="hang", operation=operation))
    simulator.faults.clear()


CHANGES: Mapping[str, Mapping[str, object]] = {
    "concurrency": {"concurrency": 1, "timeout": "20s"},
    "time zone": {"time_zone": "Asia/Tokyo"},
    "key": {"credentials": {"type": "access_key", "access_key_id": "LTAI-OTHER", "access_key_secret": "rotated"}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_changed_account_keeps_its_values_until_the_next_refresh(
    service: Service, simulator: Simulator, change: Mapping[str, object]
) -> None:
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    before = served(service)
    simulator.identities.add(Identity("LTAI-OTHER", "rotated"))
    async with hanging(simulator):
        await applied(service, config_on(simulator.url, change))
        assert from_mms(served(service)) == from_mms(before)
        assert service.is_ready


def from_mms(page: Exposition) -> dict[str, object]:
    """Return all samples except those about the exporter itself."""
    return {name: found for name, found in page.samples.items() if not name.startswith(("mms_api_", "mms_exporter_"))}


async def test_an_account_is_exported_while_its_old_refresh_stops(service: Service, simulator: Simulator) -> None:
    refresh = {"interval": "1s"}
    await service.apply(config_on(simulator.url, refresh=refresh))
    await eventually(lambda: service.is_ready)
    async with hanging(simulator) as number:
        await eventually(lambda: simulator.faults.happened(number) > 0)
        applying = asyncio.create_task(service.apply(config_on(simulator.url, {"concurrency": 1}, refresh=refresh)))
        while not applying.done():
            await asyncio.sleep(0)
            assert [account.account for account in service.snapshot().accounts] == ["test"]
            assert service.is_healthy, "a cancelled refresh is not a failure"


@pytest.mark.parametrize("operation", ["ListMmsDataSources", "ListMmsJobs"])
async def test_a_refresh_cancelled_by_a_reload_is_not_a_failure(
    service: Service, simulator: Simulator, operation: str
) -> None:
    # Data sources that were not read yet have no error.
    refresh = {"interval": "1s"}
    await service.apply(config_on(simulator.url, refresh=refresh))
    await eventually(lambda: service.is_ready)
    number = simulator.faults.add(Fault(kind="hang", operation=operation))
    await eventually(lambda: simulator.faults.happened(number) > 0)
    await applied(service, config_on(simulator.url, {"concurrency": 1}, refresh=refresh))
    assert set(served(service).by("mms_datasource_refresh_success", "source_id").values()) == {1}
    simulator.faults.clear()


async def test_a_first_refresh_cancelled_by_a_reload_is_not_a_failure(service: Service, simulator: Simulator) -> None:
    # The same for data sources that the cancelled refresh discovered.
    async with hanging(simulator, "ListMmsJobs"):
        await service.apply(config_on(simulator.url))
        await eventually(lambda: "mms_datasource_info" in served(service).samples)
        await applied(service, config_on(simulator.url, {"concurrency": 1}))
        assert len(served(service).by("mms_datasource_info", "source_id")) == len(simulator.world.source_ids())
        assert set(served(service).by("mms_datasource_refresh_success", "source_id").values()) == {1}


async def test_an_error_before_the_cancellation_stays_a_failure(service: Service, simulator: Simulator) -> None:
    # The jobs failed; the reading of failed tables was cancelled.
    source_id = str(simulator.world.source_ids()[0])
    simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", status=403, source_id=int(source_id)))
    async with hanging(simulator, "ListMmsTables") as number:
        await service.apply(config_on(simulator.url))
        await eventually(lambda: simulator.faults.happened(number) > 0)
        await applied(service, config_on(simulator.url, {"concurrency": 1}))
        failed = served(service).by("mms_datasource_refresh_success", "source_id")
        assert [key for key, value in failed.items() if not value] == [source_id]


async def test_a_changed_endpoint_exports_nothing_until_it_is_read(service: Service, simulator: Simulator) -> None:
    # Values of another region would look like values of this one.
    async with Simulator(simulator.world, identities=[IDENTITY]) as other:
        await service.apply(config_on(simulator.url))
        await eventually(lambda: service.is_ready)
        async with hanging(other):
            await applied(service, config_on(other.url))
            assert not served(service).samples.get("mms_up"), "not 0 either: it was not read yet"
            assert service.awaited_accounts == ["test"]
        await service.close()


async def test_newly_excluded_sources_are_removed_at_once(service: Service, simulator: Simulator) -> None:
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    names = sorted(source for source in served(service).by("mms_datasource_info", "source"))
    async with hanging(simulator):
        await applied(service, config_on(simulator.url, {"sources": {"exclude": [names[0]]}}))
        assert sorted(served(service).by("mms_datasource_info", "source")) == names[1:]


async def test_tables_that_stay_watched_keep_their_values(service: Service, simulator: Simulator) -> None:
    source_id = simulator.world.source_ids()[0]
    table_ids = [table.id for table in simulator.world.truth().tables(source_id)][:2]

    def watching(count: int) -> Config:
        watched = [{"source_id": source_id, "table_ids": table_ids[:count]}]
        return config_on(simulator.url, watch={"tables": watched})

    await service.apply(watching(2))
    await eventually(lambda: service.is_ready)
    async with hanging(simulator):
        await applied(service, watching(1))
        assert set(served(service).by("mms_table_info", "table_id")) == {str(table_ids[0])}


async def test_inherited_values_expire_after_stale_after(service: Service, simulator: Simulator) -> None:
    # The values become stale while the first refresh after the reload hangs.
    refresh = {"interval": "1s", "stale_after": "2s"}
    await service.apply(config_on(simulator.url, refresh=refresh))
    await eventually(lambda: service.is_ready)
    number = simulator.faults.add(Fault(kind="hang"))
    await eventually(lambda: simulator.faults.happened(number) > 0)
    await service.apply(config_on(simulator.url, {"concurrency": 1}, refresh=refresh))
    await eventually(lambda: "mms_tables" not in served(service).samples)
    assert served(service).value("mms_up") == 1, "the refresh still runs"
    simulator.faults.clear()


async def test_an_unchanged_account_keeps_its_connections(service: Service) -> None:
    callers: list[int] = []

    async def respond(request: web.Request) -> web.Response:
        assert request.transport is not None
        callers.append(request.transport.get_extra_info("peername")[1])
        return web.json_response({"data": {"total": 0, "objectList": []}})

    app = web.Application()
    app.router.add_get("/api/v1/mms/datasources", respond)
    async with TestServer(app) as server:
        config = config_on(str(server.make_url("")).rstrip("/"), refresh={"interval": "1s"})
        await service.apply(config)
        await eventually(lambda: len(callers) == 1)
        await service.apply(config)
        await eventually(lambda: len(callers) == 2)
        await service.close()
    assert callers[0] == callers[1], "the same client port"


async def test_an_unchanged_account_keeps_its_rate_limit(service: Service, simulator: Simulator) -> None:
    # With a new rate limiter, the account would send a request at once.
    slow = account_on(simulator.url, "slow", rate_limit=0.01)
    async with Simulator(simulator.world, identities=[IDENTITY]) as another:
        await service.apply(config_from({"accounts": [slow]}))
        await eventually(lambda: simulator.calls.total() == 1)
        await service.apply(config_from({"accounts": [slow, account_on(another.url, "other")]}))
        await eventually(lambda: another.calls.total() > 1)
        assert simulator.calls.total() == 1
        await service.close()


@pytest.mark.parametrize("concurrency", [8, 1], ids=["unchanged", "changed"])
async def test_an_account_keeps_its_backoff(service: Service, simulator: Simulator, concurrency: int) -> None:
    # A reload must not shorten a Retry-After of MMS.
    simulator.faults.add(Fault(kind="throttle", retry_after_ms=600_000, times=1))
    refresh = {"interval": "1s"}
    await service.apply(config_on(simulator.url, {"concurrency": 8}, refresh=refresh))
    await eventually(lambda: service.is_ready)

    def refreshed_at() -> float | None:
        return service.snapshot().accounts[0].collectors[0].duration_seconds

    before = refreshed_at()
    await service.apply(config_on(simulator.url, {"concurrency": concurrency}, refresh=refresh))
    await eventually(lambda: refreshed_at() != before)
    assert simulator.calls.total() == 1, "a refresh ran without a request"


async def test_the_exporter_says_which_shard_it_is(simulator: Simulator) -> None:
    page, _ = await refresh_once(config_on(simulator.url), Shard(1, 3))
    assert read(page).by("mms_exporter_shards", "shard") == {"1": 3}
