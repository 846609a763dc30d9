"""Reloads on request and after file changes, and their cleanup."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import pytest

from exporter.app.reloading import Reloader
from exporter.app.service import Service
from exporter.config.file_changes import FileStamps, fingerprint
from exporter.config.loading import Config, load
from exporter.errors import ConfigError
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from exporter.web.security.web_config_watcher import WebConfigWatcher
from exporter.web.status.status_report import Load
from tests.conftest import config_on
from tests.exposition_parser import read
from tests.harness import eventually
from tests.processes import write_config

CHECK_SECONDS = 0.02
"""Interval of file checks."""


STAMPS: list[FileStamps] = [{Path("config.yaml"): stamp} for stamp in ((1,), (2,), ())]
FIRST, CHANGED, MISSING = STAMPS


class CountedStamps:
    """Returns the stamps of a file, or given ones (the last repeats), and counts its calls."""

    def __init__(self, file: Path, *contents: FileStamps) -> None:
        self.file = file
        self.contents = contents
        self.count = 0

    def __call__(self) -> FileStamps:
        self.count += 1
        if self.contents:
            return self.contents[min(self.count, len(self.contents)) - 1]
        return fingerprint(self.file)

    async def wait_for_calls(self, number: int = 4) -> None:
        """Wait for `number` more calls."""
        until = self.count + number
        await eventually(lambda: self.count >= until)


class CountedLoads:
    """Loads a file and counts the loads."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loads = 0

    def __call__(self) -> Config:
        self.loads += 1
        return load(self.file)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Provide a service; close it after the test."""
    running = Service(Telemetry())
    yield running
    await running.close()


@pytest.fixture
def file(simulator: Simulator, tmp_path: Path) -> Path:
    """Return the configuration file of an account on the simulated MMS."""
    return write_config(tmp_path, simulator.url)


@asynccontextmanager
async def watched(service: Service, stamps: CountedStamps) -> AsyncIterator[CountedLoads]:
    """Provide the loads of a reloader that watches a file."""
    loads = CountedLoads(stamps.file)
    reloader = Reloader(loads, service, stamps)
    await reloader.start(reloader.load())
    reloader.watch_files(CHECK_SECONDS)
    yield loads
    await reloader.close()


@pytest.fixture
def stamps(file: Path) -> CountedStamps:
    """Return the stamps of the file."""
    return CountedStamps(file)


@pytest.fixture
async def loads(service: Service, stamps: CountedStamps) -> AsyncIterator[CountedLoads]:
    """Provide the loads of a reloader that watches the file."""
    async with watched(service, stamps) as loads:
        yield loads


def invalidate(file: Path) -> None:
    """Write an invalid configuration."""
    file.write_text("accounts: []\n", encoding="utf-8")


def is_successful(service: Service) -> bool:
    """Return whether the metrics report a successful last load."""
    served = read(service.publisher.body("text", gzip=False))
    return served.value("mms_exporter_config_last_reload_successful") == 1


async def test_a_changed_file_is_loaded_once(
    loads: CountedLoads, stamps: CountedStamps, simulator: Simulator, file: Path
) -> None:
    write_config(file.parent, simulator.url, "jobs: {enabled: false}")
    await eventually(lambda: loads.loads == 2)
    await stamps.wait_for_calls()
    assert loads.loads == 2


async def test_an_unchanged_file_is_not_loaded_again(loads: CountedLoads, stamps: CountedStamps) -> None:
    await stamps.wait_for_calls()
    assert loads.loads == 1


async def test_an_invalid_file_is_loaded_once_and_reported_until_it_is_fixed(
    loads: CountedLoads, stamps: CountedStamps, service: Service, simulator: Simulator
) -> None:
    await eventually(lambda: service.is_ready)
    invalidate(stamps.file)
    await eventually(lambda: not is_successful(service))
    await stamps.wait_for_calls()
    assert loads.loads == 2
    assert [each.account for each in service.publisher.publication.snapshot.accounts] == ["test"]
    write_config(stamps.file.parent, simulator.url)
    await eventually(lambda: is_successful(service))


async def test_a_file_that_is_missing_once_is_not_a_failure(service: Service, file: Path) -> None:
    stamps = CountedStamps(file, FIRST, MISSING, FIRST, FIRST, MISSING, FIRST)
    async with watched(service, stamps) as loads:
        await stamps.wait_for_calls(8)
        assert loads.loads == 1


async def test_a_file_that_reappears_changed_is_loaded(service: Service, file: Path) -> None:
    stamps = CountedStamps(file, FIRST, MISSING, CHANGED)
    async with watched(service, stamps) as loads:
        await stamps.wait_for_calls(8)
        assert loads.loads == 2


async def test_a_file_that_stays_missing_is_a_failure(service: Service, loads: CountedLoads, file: Path) -> None:
    await asyncio.to_thread(file.unlink)
    await eventually(lambda: not is_successful(service))
    assert loads.loads == 2


async def test_a_file_loaded_on_request_is_not_loaded_again(service: Service, simulator: Simulator, file: Path) -> None:
    loads, stamps = CountedLoads(file), CountedStamps(file)
    reloader = Reloader(loads, service, stamps)
    await reloader.start(reloader.load())
    write_config(file.parent, simulator.url, "jobs: {enabled: false}")
    await reloader.reload()
    reloader.watch_files(CHECK_SECONDS)
    await stamps.wait_for_calls()
    await reloader.close()
    assert loads.loads == 2


async def test_scheduled_reloads_are_merged(service: Service, file: Path) -> None:
    loads = CountedLoads(file)
    reloader = Reloader(loads, service)
    config = reloader.load()
    for _ in range(100):
        reloader.reload_soon()
    await asyncio.sleep(0)
    assert loads.loads == 1, "reloads wait for the start"
    await reloader.start(config)
    await eventually(lambda: loads.loads == 2)
    await reloader.close()
    assert loads.loads == 2


async def test_a_hanging_load_does_not_delay_the_shutdown(service: Service, simulator: Simulator) -> None:
    has_started, is_released = Event(), Event()

    def load_slowly() -> Config:
        has_started.set()
        is_released.wait(30)
        return config_on(simulator.url)

    reloader = Reloader(load_slowly, service)
    await reloader.start(config_on(simulator.url))
    reloader.reload_soon()
    await eventually(has_started.is_set)
    async with asyncio.timeout(20):
        await reloader.close()
    is_released.set()


async def test_a_cancelled_reload_is_applied_completely(simulator: Simulator) -> None:
    # Whenever it is cancelled: an unclosed session would warn, and warnings are errors.
    configs = [config_on(simulator.url, {"concurrency": number}) for number in (1, 2)]
    for iterations in range(30):
        service = Service(Telemetry())
        await service.apply(configs[0])
        await eventually(lambda service=service: service.is_ready)  # type: ignore[misc]  # a default of a lambda
        applying = asyncio.create_task(service.apply(configs[1]))
        for _ in range(iterations):
            await asyncio.sleep(0)
        applying.cancel()
        await asyncio.wait({applying})
        assert service.is_healthy
        await service.close()


async def test_nothing_is_applied_after_close(simulator: Simulator) -> None:
    service = Service(Telemetry())
    await service.close()
    await service.apply(config_on(simulator.url))
    assert service.awaited_accounts == []
    assert simulator.calls.total() == 0


async def test_a_reload_fails_with_the_problems(service: Service, file: Path) -> None:
    reloader = Reloader(CountedLoads(file), service)
    await reloader.start(reloader.load())
    invalidate(file)
    with pytest.raises(ConfigError, match="accounts: expected at least one"):
        await reloader.reload()


async def test_both_configurations_are_applied_or_neither(
    service: Service, simulator: Simulator, file: Path, tmp_path: Path
) -> None:
    web_file = tmp_path / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    web_config = WebConfigWatcher(web_file, service.set_web_load_status)
    reloader = Reloader(CountedLoads(file), service)
    await reloader.start(reloader.load(), web_config)
    before = web_config.settings
    web_file.write_text("auth_excluded_paths: [/]", encoding="utf-8")
    invalidate(file)
    with pytest.raises(ConfigError, match="accounts: expected at least one"):
        await reloader.reload()
    assert web_config.settings is before
    write_config(file.parent, simulator.url)
    await reloader.reload()
    assert web_config.settings.config.auth_excluded_paths == ("/",)


async def test_a_change_that_a_reload_did_not_apply_is_applied_by_the_file_check(
    service: Service, simulator: Simulator, file: Path
) -> None:
    # The configuration is valid; only the web configuration prevented the reload.
    web_file = file.parent / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    reloader = Reloader(CountedLoads(file), service, CountedStamps(file))
    await reloader.start(reloader.load(), WebConfigWatcher(web_file, service.set_web_load_status))
    web_file.unlink()
    write_config(file.parent, simulator.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(ConfigError, match="cannot be read"):
        await reloader.reload()
    loaded_at = service.status_input().load.at or 0.0
    reloader.watch_files(CHECK_SECONDS)
    await eventually(lambda: (service.status_input().load.at or 0.0) > loaded_at)
    assert not is_successful(service), "the web configuration is still invalid"
    await reloader.close()


async def test_a_fixed_web_configuration_resets_the_failure_if_no_change_is_pending(
    service: Service, file: Path
) -> None:
    web_file = file.parent / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    web_config = WebConfigWatcher(web_file, service.set_web_load_status)
    reloader = Reloader(CountedLoads(file), service)
    await reloader.start(reloader.load(), web_config)
    web_file.write_text("nonsense: 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="nonsense"):
        await reloader.reload()
    assert not is_successful(service)
    web_file.write_text("{}", encoding="utf-8")
    await web_config.current()
    assert is_successful(service), "the other file is applied already"


async def test_a_restored_configuration_is_current_while_the_web_configuration_is_invalid(
    service: Service, simulator: Simulator, file: Path
) -> None:
    # Its earlier problems are no longer reported.
    web_file = file.parent / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    web_config = WebConfigWatcher(web_file, service.set_web_load_status)
    reloader = Reloader(CountedLoads(file), service)
    await reloader.start(reloader.load(), web_config)
    loaded_at = service.status_input().load.at
    invalidate(file)
    with pytest.raises(ConfigError, match="accounts: expected at least one"):
        await reloader.reload()
    write_config(file.parent, simulator.url)
    web_file.write_text("nonsense: 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="nonsense"):
        await reloader.reload()
    assert service.status_input().load == Load(loaded_at, is_current=True)
    assert not is_successful(service), "the web configuration is still invalid"
    web_file.write_text("{}", encoding="utf-8")
    await web_config.current()
    assert is_successful(service)
