"""A thousand reloads while scrapes and refreshes go on: nothing is lost, nothing is left over."""

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
from exporter.config.file_changes import config_files, stamps_of
from exporter.config.loading import load
from exporter.exposition.telemetry import Telemetry
from exporter.runtime import DAEMON_THREADS
from exporter.simulator import Fault, Simulator
from exporter.web.handlers import application
from tests.conftest import account_on
from tests.harness import eventually
from tests.reading import read
from tests.web.http_fixture import running_server

SCRAPERS = 3
SOURCES = 6
STAYING = ("steady", "changing")
"""The accounts that are in every file; the second one's settings change."""
REST = 0.02
"""Seconds of a scraper between two scrapes, and between two looks at the content of the file."""


WATCHED = (b"mms_table_", b"mms_partition_")
"""What the series of watched things begin with, which come and go."""
PHASE = 50
"""So many files have the same sections, so that the steady account is refreshed while others come and go."""
REFRESH = {"interval": "1s"}
LATENCY = 0.01
"""Seconds that MMS takes to answer, so that a refresh goes on over several reloads."""


def sections(simulator: Simulator) -> Iterator[dict[str, Any]]:
    """Yield sections for ever that have all read anew, and that no series but those of watched things depends on."""
    others = {
        "jobs": {"max_series_per_source": 300, "idle_interval": "1s"},
        "failures": {"max_per_source": 60},
        "watch": {"tables": [{"source_id": hidden_source(simulator), "table_ids": [1, 2]}]},
    }
    for case in itertools.cycle(({}, others)):
        yield from itertools.repeat({"refresh": REFRESH, **case}, PHASE)


def configurations(simulator: Simulator) -> Iterator[str]:
    """Yield files for ever: the same again, changed accounts, one more, one less, other sections, and bad ones."""
    url = simulator.url
    steady = account_on(url, "steady")
    hidden = simulator.world.truth().data_source(hidden_source(simulator)).name
    for number, others in enumerate(sections(simulator)):
        selection = {"exclude": [hidden] if number % 5 == 4 else []}
        changing = account_on(url, "changing", concurrency=1 + number % 4, sources=selection)
        cases: tuple[dict[str, Any], ...] = (
            {"accounts": [steady, changing]},
            {"accounts": [steady, changing]},
            {"accounts": [steady, changing, account_on(url, f"guest{number % 3}")]},
            {"accounts": [changing, steady]},
            {"accounts": [steady, changing], "nonsense": 1},
            {"accounts": []},
        )
        yield "accounts: [" if number % 7 == 6 else yaml.safe_dump({**cases[number % len(cases)], **others})


def hidden_source(simulator: Simulator) -> int:
    """Return the data source that some files exclude from the changing account, and that some watch tables of."""
    return simulator.world.source_ids()[0]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def series_of(page: bytes, account: str) -> set[bytes]:
    """Return the series that are shown of what was read of an account, without watched things."""
    mark = f'{{account="{account}",source_id='.encode()
    lines = (line for line in page.splitlines() if mark in line and not line.startswith(WATCHED))
    return {line.rpartition(b" ")[0] for line in lines}


def failed_in(page: bytes, account: str) -> list[bytes]:
    """Return the samples that say of an account that something of it could not be read."""
    marks = [f'mms_{kind}refresh_success{{account="{account}",'.encode() for kind in ("", "datasource_")]
    return [line for line in page.splitlines() if line.startswith(tuple(marks)) and not line.endswith(b" 1")]


class Scraper:
    """Scrapes without a rest, and checks that each page is whole: all that was there at the start, of both accounts.

    The hidden source of the changing account may be there, in part while it is read.
    """

    def __init__(self, session: ClientSession, first: bytes, hidden_source: int) -> None:
        self._session = session
        self._most = {account: series_of(first, account) for account in STAYING}
        hidden = f'{{account="changing",source_id="{hidden_source}"'.encode()
        self._least = {key: {each for each in found if hidden not in each} for key, found in self._most.items()}
        self.scrapes = 0

    async def run(self) -> None:
        while True:
            async with self._session.get("/metrics") as response:
                page = await response.read()  # fails where it is shorter than its head says
            assert response.status == 200
            for account in STAYING:
                assert f'\nmms_up{{account="{account}"}} 1\n'.encode() in page
                assert self._least[account] <= series_of(page, account) <= self._most[account]
                assert failed_in(page, account) == []
            self.scrapes += 1
            await asyncio.sleep(REST)


class Writer:
    """Puts one configuration after another in the place of a file, and has it loaded."""

    def __init__(self, session: ClientSession, file: Path, texts: Iterable[str]) -> None:
        self._session = session
        self._file = file
        self._texts = texts
        self.statuses: Counter[int] = Counter()

    async def run(self) -> None:
        for text in self._texts:
            put(self._file, text)
            async with self._session.post("/-/reload") as response:
                self.statuses[response.status] += 1


def put(file: Path, text: str) -> None:
    """Replace a file as a whole."""
    other = file.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    other.replace(file)


async def settled(count: Callable[[], int], expected: int) -> None:
    """Wait until something that is still being cleaned away is as many as it was."""
    gc.collect()
    await eventually(lambda: count() <= expected)


@pytest.mark.long
@pytest.mark.parametrize("reloads", [100, pytest.param(1000, marks=pytest.mark.scale)])
async def test_reloads_lose_nothing_and_leak_nothing(simulator: Simulator, tmp_path: Path, reloads: int) -> None:
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    file, texts = tmp_path / "config.yaml", configurations(simulator)
    put(file, next(texts))
    simulator.faults.add(Fault(kind="latency", seconds=LATENCY))
    before = len(asyncio.all_tasks()), threading.active_count(), descriptors()
    service = Service(Telemetry(with_process=False))
    reloader = Reloader(lambda: load(file), service, lambda: stamps_of(config_files(file)))
    await reloader.start(reloader.load())
    reloader.watch_files(REST)
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
        last = [account_on(simulator.url, name) for name in (*STAYING, "last")]
        put(file, yaml.safe_dump({"accounts": last, "refresh": REFRESH}))
        await reloader.reload()
        await eventually(lambda: service.is_ready)
        for task in scraping:
            task.cancel()
        ends = await asyncio.gather(*scraping, return_exceptions=True)
        served = read(service.publisher.body("text", gzip=False))
    await reloader.close()
    await service.close()

    assert all(len(series_of(first, account)) > SOURCES * 10 for account in STAYING)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
    assert writer.statuses.keys() == {200, 400}
    assert writer.statuses.total() == reloads
    assert sum(scraper.scrapes for scraper in scrapers) > reloads / 10
    assert served.by("mms_up", "account") == {"steady": 1, "changing": 1, "last": 1}
    assert len(served.by("mms_datasource_info", "source_id", account="last")) == SOURCES
    assert (served.value("mms_api_requests_total", account="steady", operation=LISTING) or 0) > reloads / PHASE
    skipped = served.by("mms_refresh_skipped_total", "account")
    assert set(skipped) == {*STAYING, "last"}, "guests left with all they had"
    assert served.value("mms_exporter_config_last_reload_successful") == 1
    await settled(lambda: len(asyncio.all_tasks()), before[0])
    await settled(threading.active_count, before[1])
    await settled(descriptors, before[2])
