"""1,000 reloads during scrapes and refreshes lose no series and leak nothing."""

import asyncio
import gc
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

from exporter.app.reloading import Reloader
from exporter.app.service import Service
from exporter.collect.collectors.datasources import OPERATION as LISTING
from exporter.config.file_changes import fingerprint
from exporter.config.loading import load
from exporter.exposition.telemetry import Telemetry
from exporter.runtime import DAEMON_THREADS
from exporter.simulator import Fault, Simulator
from exporter.web.handlers import application
from tests.conftest import account_on
from tests.exposition_parser import read
from tests.harness import eventually
from tests.web.http_fixture import running_server

SCRAPERS = 3
SOURCES = 6
PERMANENT = ("steady", "changing")
"""Accounts in every file; the settings of the second one change."""
PAUSE_SECONDS = 0.02
"""Pause of a scraper between two scrapes, and interval of file checks."""


WATCHED = (b"mms_table_", b"mms_partition_")
"""Prefixes of series of watched objects, which appear and disappear."""
PHASE = 50
"""Files with the same sections, so that the steady account is refreshed while others change."""
REFRESH = {"interval": "1s"}
LATENCY_SECONDS = 0.01
"""Latency of MMS, so that a refresh lasts several reloads."""


def sections(simulator: Simulator) -> Iterator[dict[str, Any]]:
    """Yield sections endlessly; each change restarts all accounts and changes only series of watched objects."""
    others = {
        "jobs": {"max_series_per_source": 300, "idle_interval": "1s"},
        "failures": {"max_per_source": 60},
        "watch": {"tables": [{"source_id": hidden_source(simulator), "table_ids": [1, 2]}]},
    }
    for case in itertools.cycle(({}, others)):
        yield from itertools.repeat({"refresh": REFRESH, **case}, PHASE)


def configurations(simulator: Simulator) -> Iterator[str]:
    """Yield files endlessly: unchanged, changed, added and removed accounts, other sections, invalid files."""
    url = simulator.url
    steady = account_on(url, "steady")
    hidden = simulator.world.truth().data_source(hidden_source(simulator)).name
    for number, others in enumerate(sections(simulator)):
        selection = {"exclude": [hidden] if number % 5 == 4 else []}
        changing = account_on(url, "changing", concurrency=1 + number % 4, sources=selection)
        cases: tuple[dict[str, Any], ...] = (
            {"accounts": [steady, changing]},
            {"accounts": [steady, changing]},
            {"accounts": [steady, changing, account_on(url, f"temporary{number % 3}")]},
            {"accounts": [changing, steady]},
            {"accounts": [steady, changing], "nonsense": 1},
            {"accounts": []},
        )
        yield "accounts: [" if number % 7 == 6 else yaml.safe_dump({**cases[number % len(cases)], **others})


def hidden_source(simulator: Simulator) -> int:
    """Return the data source that some files exclude from the changing account, and others watch."""
    return simulator.world.source_ids()[0]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def series_of(page: bytes, account: str) -> set[bytes]:
    """Return the series of an account, without watched objects."""
    mark = f'{{account="{account}",source_id='.encode()
    lines = (line for line in page.splitlines() if mark in line and not line.startswith(WATCHED))
    return {line.rpartition(b" ")[0] for line in lines}


def failed_in(page: bytes, account: str) -> list[bytes]:
    """Return the samples that report a failed read of an account."""
    marks = [f'mms_{kind}refresh_success{{account="{account}",'.encode() for kind in ("", "datasource_")]
    return [line for line in page.splitlines() if line.startswith(tuple(marks)) and not line.endswith(b" 1")]


class Scraper:
    """Scrapes and checks that each page has all series of both permanent accounts.

    The hidden source of the changing account may be missing or partial.
    """

    def __init__(self, session: ClientSession, first: bytes, hidden_source: int) -> None:
        self._session = session
        self._allowed = {account: series_of(first, account) for account in PERMANENT}
        hidden = f'{{account="changing",source_id="{hidden_source}"'.encode()
        self._required = {key: {each for each in found if hidden not in each} for key, found in self._allowed.items()}
        self.scrapes = 0

    async def run(self) -> None:
        while True:
            async with self._session.get("/metrics") as response:
                page = await response.read()  # fails if it is shorter than Content-Length
            assert response.status == 200
            for account in PERMANENT:
                assert f'\nmms_up{{account="{account}"}} 1\n'.encode() in page
                assert self._required[account] <= series_of(page, account) <= self._allowed[account]
                assert failed_in(page, account) == []
            self.scrapes += 1
            await asyncio.sleep(PAUSE_SECONDS)


class Writer:
    """Writes one configuration after another and reloads."""

    def __init__(self, session: ClientSession, file: Path, texts: Iterable[str]) -> None:
        self._session = session
        self._file = file
        self._texts = texts
        self.statuses: Counter[int] = Counter()

    async def run(self) -> None:
        for text in self._texts:
            replace(self._file, text)
            async with self._session.post("/-/reload") as response:
                self.statuses[response.status] += 1


def replace(file: Path, text: str) -> None:
    """Replace a file atomically."""
    other = file.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    other.replace(file)


async def settled(count: Callable[[], int], expected: int) -> None:
    """Wait until the cleanup has reached the expected count."""
    gc.collect()
    await eventually(lambda: count() <= expected)


@pytest.mark.long
@pytest.mark.parametrize("reloads", [40, pytest.param(1000, marks=pytest.mark.scale)])
async def test_reloads_lose_nothing_and_leak_nothing(simulator: Simulator, tmp_path: Path, reloads: int) -> None:
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    file, texts = tmp_path / "config.yaml", configurations(simulator)
    replace(file, next(texts))
    simulator.faults.add(Fault(kind="latency", seconds=LATENCY_SECONDS))
    before = len(asyncio.all_tasks()), threading.active_count(), descriptors()
    service = Service(Telemetry(with_process=False))
    reloader = Reloader(lambda: load(file), service, lambda: fingerprint(file))
    await reloader.start(reloader.load())
    reloader.watch_files(PAUSE_SECONDS)
    await eventually(lambda: service.is_ready)
    first = service.publisher.body("text", gzip=False)
    async with (
        running_server(app=application(service, "/metrics", reloader.reload)) as ours,
        ClientSession(f"http://127.0.0.1:{ours.port}") as session,
    ):
        scrapers = [Scraper(session, first, hidden_source(simulator)) for _ in range(SCRAPERS)]
        scraping = [asyncio.create_task(scraper.run()) for scraper in scrapers]
        writer = Writer(session, file, itertools.islice(texts, reloads))
        await writer.run()
        last = [account_on(simulator.url, name) for name in (*PERMANENT, "last")]
        replace(file, yaml.safe_dump({"accounts": last, "refresh": REFRESH}))
        await reloader.reload()
        await eventually(lambda: service.is_ready)
        for task in scraping:
            task.cancel()
        ends = await asyncio.gather(*scraping, return_exceptions=True)
        served = read(service.publisher.body("text", gzip=False))
    await reloader.close()
    await service.close()

    assert all(len(series_of(first, account)) > SOURCES * 10 for account in PERMANENT)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
    assert writer.statuses.keys() == {200, 400}
    assert writer.statuses.total() == reloads
    assert sum(scraper.scrapes for scraper in scrapers) > reloads / 10
    assert served.by("mms_up", "account") == {"steady": 1, "changing": 1, "last": 1}
    assert len(served.by("mms_datasource_info", "source_id", account="last")) == SOURCES
    assert (served.value("mms_api_requests_total", account="steady", operation=LISTING) or 0) > reloads / PHASE
    skipped = served.by("mms_refresh_skipped_total", "account")
    assert set(skipped) == {*PERMANENT, "last"}, "temporary accounts left no series"
    assert served.value("mms_exporter_config_last_reload_successful") == 1
    await settled(lambda: len(asyncio.all_tasks()), before[0])
    await settled(threading.active_count, before[1])
    await settled(descriptors, before[2])
