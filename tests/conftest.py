"""What tests of several rooms need: a simulated MMS on a real socket, an account on it, programs to drive."""

import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from exporter.config.loading import Config, config_from
from exporter.simulator import Identity, ManualClock, Simulator, World, WorldOptions

IDENTITY = Identity("LTAI-EXAMPLE", "not-a-secret")

# A machine that others use as well is slow at times: that is no finding.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(trylast=True)  # what is deselected is not here any more
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker start with some of the long tests; the others keep their order."""
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    spread: list[pytest.Item] = []
    for worker in range(workers):
        # Each worker is given an equal part of the list at first; what it has left can be taken by others.
        first, size = long[worker::workers], (len(items) - len(spread)) // (workers - worker)
        spread += [*first, *islice(others, max(0, size - len(first)))]
    items[:] = [*spread, *others]


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    """Kill every process that a test started and did not end, as after a timeout."""
    before = _children()
    yield
    for pid in _children() - before:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children() -> set[int]:
    """Return the process ids of this process's children; none where the system has no /proc."""
    found: set[int] = set()
    tasks = "/proc/self/task"
    for thread in os.listdir(tasks) if os.path.isdir(tasks) else ():  # noqa: PTH112, PTH208 - for every test: fast
        with suppress(OSError):  # the thread has ended meanwhile
            found.update(map(int, Path(f"{tasks}/{thread}/children").read_text().split()))
    return found


@pytest.fixture(autouse=True, scope="session")
def _signals_of_a_terminal() -> Iterator[None]:
    """Have processes start as from a terminal: `nohup` and `&` have signals ignored, which is inherited."""
    ignored = [each for each in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, lambda *_: None)  # still without an effect here, and the default in a new process
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Restore the logging configuration."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def clock() -> ManualClock:
    """Provide the simulated world's time, which stands still between moves."""
    return ManualClock()


@pytest.fixture
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Provide a small simulated MMS whose world stands still until the clock is moved."""
    options = WorldOptions(sources=6, databases=2, tables=6, partitions=4, finished_jobs_per_source=5)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as running:
        yield running


def account_on(url: str, name: str = "test", **settings: object) -> dict[str, object]:
    """Return the raw configuration of an account on a simulated MMS, without limits that would slow a test."""
    credentials = {
        "type": "access_key",
        "access_key_id": IDENTITY.access_key_id,
        "access_key_secret": IDENTITY.access_key_secret,
    }
    return {
        "name": name,
        "region": "cn-shanghai",
        "endpoint": url,
        "rate_limit": 0,
        "credentials": credentials,
        **settings,
    }


def config_on(url: str, account: Mapping[str, object] | None = None, **sections: object) -> Config:
    """Return the configuration of one account on a simulated MMS."""
    return config_from({"accounts": [account_on(url, **(account or {}))], **sections})  # type: ignore[arg-type]  # a raw mapping
