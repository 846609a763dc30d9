"""The responses of all paths, over real sockets, without calls to MMS."""

import asyncio
import gzip
from dataclasses import replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from exporter.app.service import Service
from exporter.config.loading import config_from
from exporter.errors import ConfigError, Problem
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Fault, Simulator, apply_event
from exporter.simulator.world import events
from exporter.web.handlers import application
from tests.conftest import IDENTITY, account_on, config_on
from tests.exposition_parser import read
from tests.harness import eventually


async def test_both_formats_plain_and_compressed_have_the_same_series(http: ClientSession) -> None:
    names = []
    for accept, content_type in (
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ):
        for encoding in ("gzip", "identity"):
            async with http.get("/metrics", headers={"accept": accept, "accept-encoding": encoding}) as response:
                body = await response.read()
            assert response.status == 200
            assert response.headers["content-type"] == content_type
            assert response.headers.get("content-encoding") == ("gzip" if encoding == "gzip" else None)
            page = gzip.decompress(body) if encoding == "gzip" else body
            assert page.endswith(b"# EOF\n") == (accept != "text/plain")
            names.append({(name, labels) for name, found in read(page).samples.items() for labels in found})
    assert all(each == names[0] for each in names)
    assert ("mms_up", frozenset({("account", "test")})) in names[0]


async def test_a_scrape_makes_no_call_to_mms(http: ClientSession, simulator: Simulator) -> None:
    before = simulator.calls.total()
    for _ in range(20):
        async with http.get("/metrics") as response:
            assert response.status == 200
    assert simulator.calls.total() == before


async def test_a_scrape_does_not_wait_for_mms(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="hang"))
    service = Service(Telemetry())
    await service.apply(config_on(simulator.url))
    async with (
        TestServer(application(service, "/metrics", None)) as server,
        ClientSession(server.make_url("/")) as session,
    ):
        async with asyncio.timeout(30), session.get("/metrics") as response:
            served = read(await response.read())
        assert "mms_up" not in served.samples, "it is not known yet"
        assert served.value("mms_api_requests_total", operation="ListMmsDataSources") == 0
        async with session.get("/-/ready") as response:
            assert response.status == 503
        async with session.get("/-/healthy") as response:
            assert response.status == 200, "a scrape does not depend on MMS"
    await service.close()


async def test_an_unreadable_account_is_exported_as_down(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission"))
    service = Service(Telemetry())
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    assert read(service.publisher.body("text", gzip=False)).value("mms_up", account="test") == 0
    await service.close()


async def test_the_status_page_links_to_the_metrics(http: ClientSession) -> None:
    async with http.get("/", headers={"accept-encoding": "identity"}) as response:
        assert response.content_type == "text/html"
        assert '<a href="/metrics">' in await response.text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/-/healthy", 200),
        ("HEAD", "/-/healthy", 200),
        ("GET", "/-/ready", 200),
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/-/reload", 405),
        ("POST", "/-/reload", 200),
        ("PUT", "/-/reload", 200),
        ("GET", "/nothing", 404),
        ("GET", "/metrics/", 404),
    ],
)
async def test_each_path_responds(http: ClientSession, method: str, path: str, status: int) -> None:
    async with http.request(method, path) as response:
        assert response.status == status


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_reload_that_is_not_enabled_names_the_flag(service: Service, method: str) -> None:
    async with (
        TestServer(application(service, "/metrics", None)) as server,
        ClientSession(server.make_url("/")) as session,
        session.request(method, "/-/reload") as response,
    ):
        assert response.status == 404
        assert await response.text() == "reload is not enabled: start the exporter with --web.enable-lifecycle\n"


async def test_an_invalid_file_gets_400_with_the_reasons(service: Service) -> None:
    async def reload() -> None:
        raise ConfigError(Problem("accounts[0].region", "is required"), Problem("refresh.every", "unknown key"))

    async with (
        TestServer(application(service, "/metrics", reload)) as server,
        ClientSession(server.make_url("/")) as session,
        session.post("/-/reload") as response,
    ):
        assert response.status == 400
        assert await response.text() == "accounts[0].region: is required\nrefresh.every: unknown key\n"


async def test_the_telemetry_path_can_be_the_root(service: Service) -> None:
    async with (
        TestServer(application(service, "/", None)) as server,
        ClientSession(server.make_url("/")) as session,
        session.get("/") as response,
    ):
        assert response.content_type == "text/plain"


async def test_accounts_are_read_concurrently_and_a_hanging_one_delays_no_other(simulator: Simulator) -> None:
    async with Simulator(simulator.world, identities=[IDENTITY]) as hanging:
        hanging.faults.add(Fault(kind="hang"))
        service = Service(Telemetry())
        urls = {"a": hanging.url, "b": simulator.url, "c": hanging.url}
        await service.apply(config_from({"accounts": [account_on(url, name) for name, url in urls.items()]}))
        await eventually(lambda: bool(read(service.publisher.body("text", gzip=False)).samples.get("mms_up")))
        served = read(service.publisher.body("text", gzip=False))
        assert served.by("mms_up", "account") == {"b": 1}
        assert not service.is_ready
        await service.close()


async def test_a_reload_keeps_the_accounts_whose_settings_did_not_change(simulator: Simulator) -> None:
    service = Service(Telemetry())
    await service.apply(config_from({"accounts": [account_on(simulator.url, "a"), account_on(simulator.url, "b")]}))
    await eventually(lambda: service.is_ready)
    calls = simulator.calls["ListMmsDataSources", None]
    changed = [account_on(simulator.url, "a"), account_on(simulator.url, "c", concurrency=2)]
    await service.apply(config_from({"accounts": changed}))
    await eventually(lambda: service.is_ready)
    served = read(service.publisher.body("text", gzip=False))
    assert served.by("mms_up", "account") == {"a": 1, "c": 1}
    assert set(served.by("mms_refresh_skipped_total", "account")) == {"a", "c"}, "its counters left with account b"
    assert simulator.calls["ListMmsDataSources", None] == calls + 1, "only the new one was read"
    assert served.value("mms_exporter_config_last_reload_successful") == 1
    await service.close()


async def test_a_reload_that_changes_the_concurrency_keeps_the_values(simulator: Simulator) -> None:
    service = Service(Telemetry())
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    simulator.faults.add(Fault(kind="error"))
    await service.apply(config_on(simulator.url, refresh={"interval": "30s"}))
    await eventually(lambda: service.is_ready)
    served = read(service.publisher.body("text", gzip=False))
    assert len(served.by("mms_datasource_info", "source_id")) == 6
    await service.close()


async def test_an_account_can_be_stopped_in_any_loop_iteration(simulator: Simulator) -> None:
    # Including the iteration in which its refresh ends.
    for turns in range(60):
        service = Service(Telemetry())
        await service.apply(config_on(simulator.url, refresh={"interval": "1s"}))
        await eventually(lambda service=service: service.is_ready)  # type: ignore[misc]  # a default of a lambda
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await service.close()


async def test_the_exporter_stays_ready_while_pages_are_rendered(service: Service) -> None:
    for _ in range(50):
        service.publisher.note_change()
        await asyncio.sleep(0)
        assert service.is_ready


async def test_a_reload_retries_denied_permissions(simulator: Simulator) -> None:
    source_id = simulator.world.source_ids()[0]
    apply_event(simulator.world, events.Fail(source_id=source_id, share=1.0))
    actions = frozenset({"odps:ListMmsDataSources", "odps:ListMmsJobs"})
    simulator.identities.add(replace(IDENTITY, actions=actions))
    service = Service(Telemetry())
    config = config_on(simulator.url, refresh={"interval": "1s"})
    await service.apply(config)
    await eventually(lambda: service.is_ready)
    simulator.identities.add(IDENTITY)

    def failures_are_read() -> bool:
        served = read(service.publisher.body("text", gzip=False))
        return served.value("mms_refresh_success", collector="failures") == 1

    assert not failures_are_read()
    await service.apply(config)
    await eventually(failures_are_read)
    await service.close()
