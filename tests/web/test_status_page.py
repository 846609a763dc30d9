"""The status page in a real browser, with and without script, light and dark."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Literal

import msgspec
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ViewportSize, expect

from exporter.app.service import Service
from exporter.collect.snapshot import FailedUnit, FailedUnits, FailuresStats, RefreshError
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from exporter.web.status.status_report import build_report
from tests.conftest import IDENTITY, config_on
from tests.harness import eventually
from tests.web.browser import Stage, chromium, made, visit

pytestmark = pytest.mark.asyncio(loop_scope="module")

ColorScheme = Literal["light", "dark"]

DESK = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=360, height=780)
HOSTILE = "<script>alert('x')</script><b>\"bold\"</b>"
ERROR = RefreshError("timeout", "hive-a (7)", "no answer within 10 s", "check the network path")
THOUSAND = [made(number, tables_done_num=number, partitions_done_num=0) for number in range(1000)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Provide one browser for all tests."""
    async with chromium() as running:
        yield running


@pytest.fixture
def stage() -> Stage:
    """Provide a service with a status input set by the test."""
    return Stage()


async def test_progress_has_a_bar_and_a_text(browser: Browser, stage: Stage) -> None:
    stage.show(
        made(1, table_num=100, tables_done_num=25, tables_doing_num=0, partition_num=100, partitions_done_num=50)
    )
    async with visit(browser, stage) as visited:
        bar = visited.page.get_by_role("progressbar", name="Progress of warehouse-00001")
        assert await bar.evaluate("bar => bar.position") == 75 / 250
        row = visited.page.locator("#sources tr")
        assert "30.0 %" in await row.inner_text()
        assert "75 of 250" in await row.inner_text()


async def test_1000_sources_are_sorted_by_the_clicked_column(browser: Browser, stage: Stage) -> None:
    stage.show(*THOUSAND)
    async with visit(browser, stage) as visited:
        head = visited.page.locator("table.sources").get_by_role("columnheader", name="Progress")
        for direction, first in (("descending", "warehouse-00999"), ("ascending", "warehouse-00000")):
            await head.get_by_role("button").click()
            await expect(head).to_have_attribute("aria-sort", direction)
            names = await visited.column("sources", 1)
            assert names == sorted(names, reverse=direction == "descending")
            assert (len(names), names[0]) == (1000, first)


async def test_sorting_works_with_the_keyboard(browser: Browser, stage: Stage) -> None:
    stage.show(made(1), made(2))
    async with visit(browser, stage) as visited:
        await visited.page.get_by_role("button", name="Data source").first.focus()
        await visited.page.keyboard.press("Enter")
        await visited.page.keyboard.press("Enter")
        assert await visited.column("sources", 1) == ["warehouse-00002", "warehouse-00001"]


async def test_rows_without_a_value_come_last_in_both_directions(browser: Browser, stage: Stage) -> None:
    stage.show(made(1), made(2, table_num=None), made(3))
    async with visit(browser, stage) as visited:
        button = visited.page.locator("table.sources").get_by_role("button", name="Progress")
        for _ in range(2):
            await button.click()
            assert (await visited.column("sources", 1))[-1] == "warehouse-00002"


async def test_1000_sources_are_filtered_by_every_word(browser: Browser, stage: Stage) -> None:
    stage.show(*THOUSAND)
    async with visit(browser, stage) as visited:
        label = "Filter data sources, databases, jobs, failures and schedules"
        field = visited.page.get_by_role("searchbox", name=label)
        await field.fill("0012 WARE")
        assert await visited.column("sources", 1) == [f"warehouse-{number:05d}" for number in (12, *range(120, 130))]
        assert (
            "11 of 1000 data sources, 11 of 1000 databases, 11 of 1000 jobs"
            in await visited.page.locator("#matches").inner_text()
        )
        await field.fill("")
        assert len(await visited.column("sources", 1)) == 1000


async def test_the_page_refreshes_and_keeps_sort_filter_focus_and_unchanged_rows(
    browser: Browser, stage: Stage
) -> None:
    stage.show(made(1), made(2), made(3, name="other"))
    async with visit(browser, stage) as visited:
        field = visited.page.get_by_role("searchbox")
        await visited.page.locator("table.sources").get_by_role("button", name="Data source").dblclick()
        await field.fill("warehouse")
        await visited.page.evaluate("kept = document.querySelector('[data-key=\"test/2000001\"]')")
        stage.show(made(1), made(2, partitions_done_num=9_999_000), made(3, name="other"), made(4))
        await visited.renew()
        await expect(visited.page.locator("#sources tr")).to_have_count(4)
        assert await visited.column("sources", 1) == ["warehouse-00004", "warehouse-00002", "warehouse-00001"]
        assert "99.9 %" in (await visited.column("sources", 2))[1]
        assert await visited.page.evaluate("kept === document.querySelector('[data-key=\"test/2000001\"]')")
        await expect(field).to_be_focused()
        await expect(field).to_have_value("warehouse")


async def test_failures_with_the_same_names_survive_a_refresh(browser: Browser, stage: Stage) -> None:
    named = made(1).name
    alike = FailedUnit("db", "orders", None, "p", "default", "orders")
    failures = FailuresStats(named, FailedUnits((alike, alike), 2), FailedUnits((), 0))
    stage.show(msgspec.structs.replace(made(1), failures=failures))
    async with visit(browser, stage) as visited:
        rows = visited.page.locator("#failures tr")
        await expect(rows).to_have_count(2)
        stage.show(msgspec.structs.replace(made(1), failures=failures), made(2))
        await visited.renew()
        await expect(visited.page.locator("#sources tr")).to_have_count(2)
        await expect(rows).to_have_count(2)


async def test_changes_are_announced_to_screen_readers(browser: Browser, stage: Stage) -> None:
    stage.show(made(1, failed=0))
    async with visit(browser, stage) as visited:
        stage.show(made(1, failed=1))
        await visited.renew()
        news = visited.page.get_by_role("status").first
        await expect(news).to_contain_text("Needs attention")
        assert await news.get_attribute("aria-live") == "polite"


async def test_a_replaced_link_keeps_the_focus(browser: Browser, stage: Stage) -> None:
    stage.show(made(1, failed=1))
    async with visit(browser, stage) as visited:
        link = visited.page.get_by_role("link", name="Runbook: Tables or partitions failed")
        await link.focus()
        stage.show(made(1, failed=2))
        await visited.renew()
        await expect(visited.page.locator("#attention")).to_contain_text("2")
        await expect(link).to_be_focused()


async def test_a_paused_or_hidden_page_sends_no_requests(browser: Browser, stage: Stage) -> None:
    stage.show(made(1))
    hidden = "Object.defineProperty(document, 'hidden', {configurable: true, value: true})"
    async with visit(browser, stage) as visited:
        before = len(visited.requests)
        await visited.page.get_by_role("button", name="Pause").click()
        await visited.page.clock.run_for(60_000)
        await visited.page.evaluate(hidden)
        await visited.page.get_by_role("button", name="Pause").click()
        await visited.page.clock.run_for(60_000)
        assert len(visited.requests) == before


async def test_the_page_reports_an_unreachable_exporter_and_keeps_its_values(browser: Browser, stage: Stage) -> None:
    stage.show(made(1))
    async with visit(browser, stage) as visited:
        stage.is_failing = True
        await visited.renew()
        await expect(visited.page.locator("#news")).to_contain_text("is unreachable")
        assert await visited.column("sources", 1) == ["warehouse-00001"]
        stage.is_failing = False
        await visited.renew()
        await expect(visited.page.locator("#news")).not_to_contain_text("is unreachable")
        visited.errors.clear()  # the browser logs the status 500


async def test_times_are_relative(browser: Browser, stage: Stage) -> None:
    stage.show(made(1))
    days = (datetime.now(UTC) - datetime.fromtimestamp(1.75e9, UTC)).days
    async with visit(browser, stage) as visited:
        time = visited.page.locator("#sources time")
        assert await time.inner_text() == f"{days} days ago"
        assert await time.get_attribute("title") == "2025-06-15 15:06:40 UTC"


async def test_the_page_is_complete_without_script(browser: Browser, stage: Stage) -> None:
    stage.show(made(1, failed=3), troubles=(ERROR,))
    async with visit(browser, stage, java_script_enabled=False) as visited:
        text = await visited.page.locator("body").inner_text()
        for part in (
            "warehouse-00001",
            "ds=2",
            "migrate_1_0",
            "no answer within 10 s",
            "check the network path",
            "UTC",
        ):
            assert part in text
        assert "Reload the page" in text
        await expect(visited.page.get_by_role("button")).to_have_count(0)
        await expect(visited.page.get_by_role("searchbox")).to_be_hidden()
        for path in ("/metrics", "/-/healthy", "/-/ready", "/api/v1/status"):
            await expect(visited.page.locator(f'a[href="{path}"]')).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_has_a_light_and_a_dark_scheme(browser: Browser, stage: Stage, scheme: ColorScheme) -> None:
    async with visit(browser, stage, color_scheme=scheme) as visited:
        ground = await visited.page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (sum(ground) / 3 > 128) == (scheme == "light")


async def test_a_hostile_name_stays_text(browser: Browser, stage: Stage) -> None:
    stage.show(made(1, name=HOSTILE, status=HOSTILE.upper(), dst_project=HOSTILE), made(2, name="safe\u202egnp.exe"))
    async with visit(browser, stage) as visited:
        await visited.renew()
        names = await visited.column("sources", 1)
        assert names == [HOSTILE, r"safe\u202egnp.exe"]
        assert await visited.page.locator("table script, table b").count() == 0
        assert HOSTILE.upper() in await visited.page.locator("#sources .chip.warn").first.inner_text()


async def test_the_page_fits_the_width_of_a_phone(browser: Browser, stage: Stage) -> None:
    stage.show(made(1, failed=3), made(2, name="x" * 10_000, status="y" * 1000), troubles=(ERROR,))
    async with visit(browser, stage, viewport=PHONE) as visited:
        rights = "[...document.querySelectorAll('body *:not(.skip)')].map(each => each.getBoundingClientRect().right)"
        assert max(await visited.page.evaluate(rights)) <= PHONE["width"]
        assert await visited.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


async def test_commands_break_between_words_only_and_are_copied_as_one_line(browser: Browser, stage: Stage) -> None:
    stage.show(made(1, failed=3))
    async with visit(browser, stage, viewport=PHONE) as visited:
        command = visited.page.locator(".command").first
        lines = "each => [...each.querySelectorAll('span')].map(word => Math.round(word.offsetHeight))"
        assert len(set(await command.evaluate(lines))) == 1, "each word is on one line"
        copied = "each => { getSelection().selectAllChildren(each); return getSelection().toString(); }"
        assert "\n" not in (await command.evaluate(copied)).strip()
        assert "--source=" in await command.evaluate(copied)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
async def test_axe_finds_no_accessibility_violations(
    browser: Browser,
    stage: Stage,
    scheme: ColorScheme,
    viewport: ViewportSize,
) -> None:
    offline = made(1, failed=3, agent_is_online=False, scan_status="FAILED", status="START_FAILED")
    others = made(2, status="STOPPED", scan_status="DOING"), made(3, table_num=None, status="NEW"), made(4, failed=1)
    stage.show(offline, *others, troubles=(ERROR,))
    async with visit(browser, stage, color_scheme=scheme, viewport=viewport) as visited:
        await visited.page.get_by_role("searchbox").fill("warehouse")
        found = await Axe().run(visited.page)
        assert not found.response["violations"], found.generate_report()


def named_partitions(service: Service) -> int:
    """Return the number of failed partitions in the current report."""
    failures = (source.failed_partitions for source in build_report(service.status_input()).sources)
    return sum(len(each.named) for each in failures if each is not None)


async def test_injected_failures_are_on_the_page_within_one_refresh(browser: Browser) -> None:
    options = WorldOptions(sources=2, databases=1, tables=3, partitions=4, failure_rate=0.0, finished_jobs_per_source=0)
    async with Simulator(World(options, clock=lambda: 1.75e9), identities=[IDENTITY]) as simulator:
        service = Service(Telemetry(with_process=False))
        await service.apply(config_on(simulator.url, refresh={"interval": "1s"}))
        await eventually(lambda: service.is_ready)
        async with visit(browser, service) as visited:
            await expect(visited.page.locator("#failures")).to_contain_text("No failed tables")
            source_id = simulator.world.source_ids()[0]
            apply_event(simulator.world, events.Fail(source_id=source_id, share=0.5))
            partitions = simulator.world.truth().partitions(source_id)
            failed = sorted(
                (f"{each.db_name}.{each.table_name}", each.value) for each in partitions if each.status == "FAILED"
            )
            await eventually(lambda: named_partitions(service) == len(failed) > 0)
            await visited.renew()
            rows = visited.page.locator("#failures tr").filter(has_text="=")
            await expect(rows).to_have_count(len(failed))
            shown = zip(await visited.column("failures", 1), await visited.column("failures", 2), strict=True)
            assert sorted(each for each in shown if "=" in each[1]) == failed
        await service.close()
