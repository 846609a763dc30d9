"""The status page in a real Chromium: a service with a status input set by the test, and checked pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.worlds import source
from exporter.app.service import Service
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    RefreshError,
    Snapshot,
    SourceSnapshot,
    TimersStats,
    TimerStats,
)
from exporter.exposition.telemetry import Telemetry
from exporter.mms.models.records import Database
from exporter.mms.models.schedules import TimerRuns
from exporter.mms.models.statuses import JobStatus, ScheduleType, TableStatus
from exporter.mms.models.timer_records import Timer
from exporter.web.handlers import application
from exporter.web.status.status_report import Load, StatusInput
from tests.programs import program

POLL_MILLISECONDS = 5000
"""Refresh interval of the page; tests advance the clock of the page by it."""

PATIENCE_MILLISECONDS = 60_000
"""Timeout of a wait for the page."""


class Stage(Service):
    """A service with a status input set by the test."""

    def __init__(self) -> None:
        super().__init__(Telemetry(with_process=False))
        self.is_failing = False
        self._number = 0
        self.show()

    def show(self, *sources: SourceSnapshot, troubles: tuple[RefreshError, ...] = ()) -> None:
        """Publish one account with data sources and errors of its listing."""
        self._number += 1
        listing = CollectorSnapshot("test", "datasources", not troubles, 0.1, 1.75e9, troubles, len(troubles))
        account = AccountSnapshot("test", up=not troubles, collectors=(listing,), sources=sources)
        load = Load(1.7e9, is_current=True)
        self._status_input = StatusInput(Snapshot((account,)), self._number, 1.75e9 + self._number, 1.7e9, load, ())

    def status_input(self) -> StatusInput:
        """Return the status input, or raise if `is_failing`."""
        if self.is_failing:
            raise ConnectionError("set by the test")
        return self._status_input


def made(number: int, *, name: str | None = None, failed: int = 0, **row: Any) -> SourceSnapshot:
    """Return a data source with a database and failed partitions; `row` sets fields of its row."""
    each = source(number)
    assert each.stats is not None
    assert each.jobs is not None
    named = msgspec.structs.replace(each.name, source=each.name.source if name is None else name)
    calm = {"tables_failed_num": 0, "tables_part_done_num": 0, "partitions_failed_num": failed, **row}
    stats = msgspec.structs.replace(
        each.stats, name=named, row=msgspec.structs.replace(each.stats.row, name=named.source, **calm)
    )
    partitions = tuple(
        FailedUnit("sales", "orders", f"ds={index}", "p", "default", "orders") for index in range(failed)
    )
    failures = FailuresStats(named, FailedUnits((), 0), FailedUnits(partitions, failed))
    jobs = msgspec.structs.replace(each.jobs, name=named, counts={"DOING": 1}, jobs=each.jobs.jobs[:1])
    database = Database(
        id=1,
        name=named.source,
        status=TableStatus(stats.row.status or "DOING"),
        tables=10,
        tables_done=4,
        partitions=0,
        partitions_done=0,
        partitions_failed=failed,
        dst_project_name=named.source,
        size=10**12,
    )
    databases = DatabasesStats(named, (database,), 2)
    timer = Timer(id=3, name="nightly", src_db_name="sales", schedule_type=ScheduleType.DAILY, value="02:30")
    timers = TimersStats(named, (TimerStats(timer, TimerRuns(1.7e9, JobStatus.DONE, None), 1.74e9),), 2)
    parts = {"stats": stats, "jobs": jobs, "failures": failures, "databases": databases, "timers": timers}
    return msgspec.structs.replace(each, name=named, **parts)


@dataclass
class Visit:
    """An open page, with its requests and errors."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What the browser had to say: errors, warnings, violations of the policy."""

    async def renew(self) -> None:
        """Let the page refresh now."""
        async with self.page.expect_response(lambda response: response.request.resource_type == "fetch"):
            await self.page.clock.fast_forward(POLL_MILLISECONDS)

    async def column(self, table: str, number: int) -> list[str]:
        """Return the first line of each visible cell of a column (from 1), top down."""
        cells = self.page.locator(f"#{table} tr:not([hidden]) > :nth-child({number})")
        return [text.split("\n")[0] for text in await cells.all_inner_texts()]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Provide a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("CHROMIUM"))
        yield browser
        await browser.close()


@asynccontextmanager
async def visit(browser: Browser, service: Service, **context: Any) -> AsyncIterator[Visit]:
    """Provide the status page of a service in a new context; fail on errors of the page."""
    async with TestServer(application(service, "/metrics", None)) as server:
        own = await browser.new_context(**context)
        page = await own.new_page()
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        opened = Visit(page)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("console", lambda message: opened.errors.append(message.text))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("dialog", lambda dialog: opened.errors.append(dialog.message))
        await page.clock.install()
        response = await page.goto(str(server.make_url("/")))
        assert response is not None
        assert response.ok
        if context.get("java_script_enabled", True):
            await page.locator("time[title]").first.wait_for(state="attached")
        yield opened
        await own.close()
        origin = str(server.make_url("/"))
        assert all(url.startswith((origin, "data:")) for url in opened.requests)
        assert not opened.errors
