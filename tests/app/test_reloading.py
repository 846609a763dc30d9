"""Reloads: which of them happen, and what is left of them at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import pytest

from exporter.app.reloading import Reloader
from exporter.app.service import Service
from exporter.config.file_changes import FileStamps, config_files, stamps_of
from exporter.config.loading import Config, load
from exporter.errors import ConfigError
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from exporter.web.security.web_config_watcher import WebConfigWatcher
from exporter.web.status.status_report import Load
from tests.conftest import config_on
from tests.harness import eventually
from tests.processes import write_config
from tests.reading import read

LOOK = 0.02
"""Seconds between two looks at the content."""


STAMPS: list[FileStamps] = [{Path("config.yaml"): stamp} for stamp in ((1,), (2,), ())]
WHOLE, OTHER, GONE = STAMPS


class Looked:
    """Returns the stamps of a file, or those that a test gives and then the last of them, and counts its calls."""

    def __init__(self, file: Path, *contents: FileStamps) -> None:
        self.file = file
        self.contents = contents
        self.count = 0

    def __call__(self) -> FileStamps:
        self.count += 1
        if self.contents:
            return self.contents[min(self.count, len(self.contents)) - 1]
        return stamps_of(config_files(self.file))

    async def again(self, number: int = 4) -> None:
        """Wait until it was asked so many times more."""
        until = self.count + number
        await eventually(lambda: self.count >= until)


class Counted:
    """Loads a file, and counts how often."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loads = 0

    def __call__(self) -> Config:
        self.loads += 1
        return load(self.file)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Provide a service, which is closed in the end."""
    running = Service(Telemetry())
    yield running
    await running.close()


@pytest.fixture
def file(simulator: Simulator, tmp_path: Path) -> Path:
    """Return the configuration file of an account on the simulated MMS."""
    return write_config(tmp_path, simulator.url)


@asynccontextmanager
async def followed(service: Service, looked: Looked) -> AsyncIterator[Counted]:
    """Provide the loads of a reloader that follows a file."""
    loads = Counted(looked.file)
    reloader = Reloader(loads, service, looked)
    await reloader.start(reloader.load())
    reloader.watch_files(LOOK)
    yield loads
    await reloader.close()


@pytest.fixture
def looked(file: Path) -> Looked:
    """Return what looks at the file."""
    return Looked(file)


@pytest.fixture
async def following(service: Service, looked: Looked) -> AsyncIterator[Counted]:
    """Provide the loads of a reloader that follows the file."""
    async with followed(service, looked) as loads:
        yield loads


def spoil(file: Path) -> None:
    """Leave a configuration that cannot be used."""
    file.write_text("accounts: []\n", encoding="utf-8")


def is_successful(service: Service) -> bool:
    """Tell what the metrics tell of the last attempt to load."""
    served = read(service.publisher.body("text", gzip=False))
    return served.value("mms_exporter_config_last_reload_successful") == 1


async def test_a_changed_content_is_loaded_once(
    following: Counted, looked: Looked, simulator: Simulator, file: Path
) -> None:
    write_config(file.parent, simulator.url, "jobs: {enabled: false}")
    await eventually(lambda: following.loads == 2)
    await looked.again()
    assert following.loads == 2


async def test_a_file_that_stays_is_not_loaded_again(following: Counted, looked: Looked) -> None:
    await looked.again()
    assert following.loads == 1


async def test_a_bad_content_is_tried_once_and_seen_until_it_is_mended(
    following: Counted, looked: Looked, service: Service, simulator: Simulator
) -> None:
    await eventually(lambda: service.is_ready)
    spoil(looked.file)
    await eventually(lambda: not is_successful(service))
    await looked.again()
    assert following.loads == 2
    assert [each.account for each in service.publisher.publication.snapshot.accounts] == ["test"]
    write_config(looked.file.parent, simulator.url)
    await eventually(lambda: is_successful(service))


async def test_a_file_that_is_gone_for_a_moment_is_no_failure(service: Service, file: Path) -> None:
    looked = Looked(file, WHOLE, GONE, WHOLE, WHOLE, GONE, WHOLE)
    async with followed(service, looked) as loads:
        await looked.again(8)
        assert loads.loads == 1


async def test_a_file_that_comes_back_changed_is_loaded(service: Service, file: Path) -> None:
    looked = Looked(file, WHOLE, GONE, OTHER)
    async with followed(service, looked) as loads:
        await looked.again(8)
        assert loads.loads == 2


async def test_a_file_that_stays_away_is_a_failure(service: Service, following: Counted, file: Path) -> None:
    await asyncio.to_thread(file.unlink)
    await eventually(lambda: not is_successful(service))
    assert following.loads == 2


async def test_what_was_loaded_by_command_is_not_loaded_again(
    service: Service, simulator: Simulator, file: Path
) -> None:
    loads, looked = Counted(file), Looked(file)
    reloader = Reloader(loads, service, looked)
    await reloader.start(reloader.load())
    write_config(file.parent, simulator.url, "jobs: {enabled: false}")
    await reloader.reload()
    reloader.watch_files(LOOK)
    await looked.again()
    await reloader.close()
    assert loads.loads == 2


async def test_reloads_that_wait_for_the_same_turn_are_one(service: Service, file: Path) -> None:
    loads = Counted(file)
    reloader = Reloader(loads, service)
    config = reloader.load()
    for _ in range(100):
        reloader.reload_soon()
    await asyncio.sleep(0)
    assert loads.loads == 1, "they wait for the start"
    await reloader.start(config)
    await eventually(lambda: loads.loads == 2)
    await reloader.close()
    assert loads.loads == 2


async def test_a_load_that_hangs_does_not_hold_up_the_end(service: Service, simulator: Simulator) -> None:
    is_begun, is_released = Event(), Event()

    def load_slowly() -> Config:
        is_begun.set()
        is_released.wait(30)
        return config_on(simulator.url)

    reloader = Reloader(load_slowly, service)
    await reloader.start(config_on(simulator.url))
    reloader.reload_soon()
    await eventually(is_begun.is_set)
    async with asyncio.timeout(20):
        await reloader.close()
    is_released.set()


async def test_a_reload_that_is_cut_short_leaves_nothing_half_done(simulator: Simulator) -> None:
    """Wherever it is cut: a session that nobody closes would warn, and warnings are errors."""
    configs = [config_on(simulator.url, {"concurrency": number}) for number in (1, 2)]
    for turns in range(30):
        service = Service(Telemetry())
        await service.apply(configs[0])
        await eventually(lambda service=service: service.is_ready)  # type: ignore[misc]  # a default of a lambda
        applying = asyncio.create_task(service.apply(configs[1]))
        for _ in range(turns):
            await asyncio.sleep(0)
        applying.cancel()
        await asyncio.wait({applying})
        assert service.is_healthy
        await service.close()


async def test_nothing_is_applied_after_the_end(simulator: Simulator) -> None:
    service = Service(Telemetry())
    await service.close()
    await service.apply(config_on(simulator.url))
    assert service.awaited_accounts == []
    assert simulator.calls.total() == 0


async def test_a_reload_fails_with_the_problems(service: Service, file: Path) -> None:
    reloader = Reloader(Counted(file), service)
    await reloader.start(reloader.load())
    spoil(file)
    with pytest.raises(ConfigError, match="accounts: expected at least one"):
        await reloader.reload()


async def test_neither_configuration_is_applied_unless_both_are_good(
    service: Service, simulator: Simulator, file: Path, tmp_path: Path
) -> None:
    web_file = tmp_path / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    web_config = WebConfigWatcher(web_file, service.set_web_load_status)
    reloader = Reloader(Counted(file), service)
    await reloader.start(reloader.load(), web_config)
    before = web_config.settings
    web_file.write_text("auth_excluded_paths: [/]", encoding="utf-8")
    spoil(file)
    with pytest.raises(ConfigError, match="accounts: expected at least one"):
        await reloader.reload()
    assert web_config.settings is before
    write_config(file.parent, simulator.url)
    await reloader.reload()
    assert web_config.settings.config.auth_excluded_paths == ("/",)


async def test_what_a_reload_did_not_apply_is_still_followed(
    service: Service, simulator: Simulator, file: Path
) -> None:
    """The configuration is fine, and so is that somebody asked for both at a bad time."""
    web_file = file.parent / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    reloader = Reloader(Counted(file), service, Looked(file))
    await reloader.start(reloader.load(), WebConfigWatcher(web_file, service.set_web_load_status))
    web_file.unlink()
    write_config(file.parent, simulator.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(ConfigError, match="cannot be read"):
        await reloader.reload()
    loaded_at = service.status_input().load.at or 0.0
    reloader.watch_files(LOOK)
    await eventually(lambda: (service.status_input().load.at or 0.0) > loaded_at)
    assert not is_successful(service), "the web configuration is still bad"
    await reloader.close()


async def test_a_web_configuration_that_held_nothing_up_is_fine_once_it_is_mended(service: Service, file: Path) -> None:
    web_file = file.parent / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    web_config = WebConfigWatcher(web_file, service.set_web_load_status)
    reloader = Reloader(Counted(file), service)
    await reloader.start(reloader.load(), web_config)
    web_file.write_text("nonsense: 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="nonsense"):
        await reloader.reload()
    assert not is_successful(service)
    web_file.write_text("{}", encoding="utf-8")
    await web_config.current()
    assert is_successful(service), "what the other file says is what is served"


async def test_a_configuration_that_is_put_back_is_fine_while_the_web_configuration_is_not(
    service: Service, simulator: Simulator, file: Path
) -> None:
    """What was wrong with it before is neither told nor held against it, once the other is mended too."""
    web_file = file.parent / "web.yaml"
    web_file.write_text("{}", encoding="utf-8")
    web_config = WebConfigWatcher(web_file, service.set_web_load_status)
    reloader = Reloader(Counted(file), service)
    await reloader.start(reloader.load(), web_config)
    loaded_at = service.status_input().load.at
    spoil(file)
    with pytest.raises(ConfigError, match="accounts: expected at least one"):
        await reloader.reload()
    write_config(file.parent, simulator.url)
    web_file.write_text("nonsense: 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="nonsense"):
        await reloader.reload()
    assert service.status_input().load == Load(loaded_at, is_current=True)
    assert not is_successful(service), "the web configuration is still bad"
    web_file.write_text("{}", encoding="utf-8")
    await web_config.current()
    assert is_successful(service)
