"""The HTML report in a real browser: no request, no error, accessible, and readable on paper and on a phone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, ViewportSize

from exporter.clock import Clock
from exporter.console.output.printing import printed
from exporter.console.output.terminal import OutputStyle
from exporter.console.report.command import report
from exporter.console.selection.queries import Options
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.console.conftest import FIRST
from tests.web.browser import chromium

A4_PIXELS = 688
"""Width of A4 without the margins of the report, at 96 pixels per inch."""
LONG = "a_table_whose_name_is_as_long_as_names_can_be" * 3


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    """Provide a browser."""
    async with chromium() as running:
        yield running


async def html(clock: ManualClock) -> bytes:
    """Return a report with failures, long names and a part that could not be read."""
    options = WorldOptions(sources=2, tables=30, failure_rate=0.3, special_sources=False)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        clock.advance(3600)
        for place in ({"database_id": 1}, {"job_id": 1}):
            apply_event(simulator.world, events.SetText(source_id=FIRST, field="name", text=LONG, **place))
        simulator.faults.add(Fault(kind="error", status=403, operation="ListMmsTasks", source_id=FIRST + 1))
        found = await report(config_on(simulator.url), Options(limit=6), Clock(wall=clock))
    return printed(found, "html", OutputStyle())


async def overflow(page: Page) -> int:
    """Return how many pixels the page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


async def test_the_page_is_one_accessible_file_that_prints(
    browser: Browser, clock: ManualClock, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(await html(clock))
    page = await browser.new_page(viewport=ViewportSize(width=1280, height=900))
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    await page.goto(file.as_uri())
    assert await page.get_by_role("heading", level=1).inner_text() == "Migration report"
    assert await page.get_by_role("rowheader", name=LONG).count() > 0
    assert await page.get_by_role("table", name="Databases, the largest first").count() == 2
    assert await overflow(page) == 0
    for width in (360, A4_PIXELS):
        await page.set_viewport_size(ViewportSize(width=width, height=900))
        await page.emulate_media(media="print" if width == A4_PIXELS else "screen", color_scheme="dark")
        assert await overflow(page) == 0
        found = await Axe().run(page)
        assert not found.response["violations"], found.generate_report()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert (await page.pdf(prefer_css_page_size=True)).startswith(b"%PDF")
    assert (messages, requests) == ([], [file.as_uri()])
