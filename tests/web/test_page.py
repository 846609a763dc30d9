"""The page and the JSON over HTTP: caching, security headers and escaping."""

import asyncio
import base64
import gzip
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from msgspec import structs

from benchmarks.worlds import source
from exporter.app.service import Service
from exporter.collect.snapshot import AccountSnapshot, JobStats, ScanStats, Snapshot
from exporter.errors import Problem
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import DataSourceStatus, JobStatus, ScanStatus, SourceType
from exporter.simulator import Fault, Simulator
from exporter.simulator.api.rows import CANARY
from exporter.web.document_cache import CachedDocument
from exporter.web.handlers import application
from exporter.web.status.page import BAR_UNITS, MIN_SEGMENT_UNITS, POLICY, page, segments
from exporter.web.status.progress_bars import progress_of
from exporter.web.status.source_schema import Progress
from exporter.web.status.status_report import Load, StatusInput, build_report
from exporter.web.status.status_schema import StatusReport
from tests.conftest import IDENTITY, config_on
from tests.harness import eventually

PLAIN = {"accept-encoding": "identity"}
PATHS = ("/", "/api/v1/status")
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "a\u202eb",
    "a\nb",
    "{{ 7 * 7 }}",
    "y" * 10_000,
)


def named_job(job: JobStats, name: str) -> JobStats:
    """Return a job with a name as each text."""
    return structs.replace(job, row=structs.replace(job.row, name=name, src_db_name=name, status=JobStatus(name)))


def status_input(*names: str, publication: int = 1) -> StatusInput:
    """Return the status input of an account with data sources whose texts are `names`."""
    sources = []
    for number, name in enumerate(names):
        made = source(number)
        assert made.stats is not None
        assert made.jobs is not None
        named = structs.replace(made.name, source=name)
        row = DataSource(id=number, name=name, type=SourceType(name), status=DataSourceStatus(name), dst_project=name)
        row = structs.replace(row, scan_status=ScanStatus(name))
        jobs = tuple(named_job(job, name) for job in made.jobs.jobs)
        stats = structs.replace(made.stats, name=named, row=row)
        sources.append(structs.replace(made, name=named, stats=stats, jobs=structs.replace(made.jobs, jobs=jobs)))
    snapshot = Snapshot((AccountSnapshot(names[0] if names else "a", up=True, sources=tuple(sources)),))
    return StatusInput(snapshot, publication, 1.75e9, 1.7e9, Load(1.7e9, is_current=True), ())


def html_of(*accounts: AccountSnapshot, awaited: tuple[str, ...] = ()) -> str:
    """Return the page of accounts without line breaks."""
    made = StatusInput(Snapshot(accounts), 1, 1.75e9, 1.7e9, Load(1.7e9, is_current=True), awaited)
    return " ".join(page(build_report(made), "/metrics").decode().split())


def with_failed_jobs(failed: int, resolved: int) -> AccountSnapshot:
    """Return an account whose failed jobs are not listed."""
    made = source(1)
    assert made.jobs is not None
    jobs = structs.replace(made.jobs, counts={**made.jobs.counts, "FAILED": failed}, resolved=resolved)
    return AccountSnapshot("prod", up=True, sources=(structs.replace(made, jobs=jobs),))


class Tags(HTMLParser):
    """The tags and attributes of a page, parsed like a browser."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_adds_no_tag_and_no_attribute(name: str) -> None:
    hostile, harmless = (
        Tags(page(build_report(status_input(each)), "/metrics").decode()) for each in (name, "harmless")
    )
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert not any(attribute.startswith("on") for attribute in hostile.attributes)


def test_control_and_direction_characters_are_shown_as_escapes() -> None:
    text = page(build_report(status_input("a\u202eb\nc")), "/metrics").decode()
    assert r"a\u202eb\nc" in text
    assert "\u202e" not in text.replace('data-key="a\u202eb\nc/', "")


def test_the_headline_says_that_it_counts_some_accounts_only() -> None:
    """100 % of what could be read is not 100 % of the migration."""
    read, unread = AccountSnapshot("prod", up=True, sources=(source(1),)), AccountSnapshot("test", up=False)
    for html in (html_of(read, unread, AccountSnapshot("other", up=False)), html_of(read, awaited=("a", "b"))):
        assert '<strong>10.0 % <span class="scope">in 1 of 3 accounts</span></strong>' in html
        assert "<title>10.0 % in 1 of 3 accounts · MMS exporter</title>" in html
    empty = AccountSnapshot("new", up=True, collectors=(), sources=())
    assert "of 2 accounts" not in html_of(read, empty)
    assert "<strong>10.0 %</strong>" in html_of(read, empty)


def test_the_headline_says_that_stale_data_sources_do_not_count() -> None:
    stale = structs.replace(source(2), stats=None)
    html = html_of(AccountSnapshot("prod", up=True, sources=(source(1), stale)))
    assert '<span class="scope">without 1 stale data source</span>' in html


def test_the_headline_says_why_there_is_no_progress() -> None:
    stale = structs.replace(source(2), stats=None)
    expected = {
        "The values are out of date: 1 stale data source": html_of(AccountSnapshot("prod", up=False, sources=(stale,))),
        "No data sources selected": html_of(AccountSnapshot("prod", up=True)),
        "No progress data yet": html_of(AccountSnapshot("prod", up=False), awaited=("prod",)),
    }
    for headline, html in expected.items():
        assert f'<p class="headline">{headline}</p>' in html


ALL, LEFT = "<code>mms-exporter jobs</code> lists all.", "resolved jobs leave the list after <code>jobs.linger</code>."


@pytest.mark.parametrize(
    ("failed", "resolved", "expected"),
    [
        (0, 0, ""),
        (1, 0, f"1 more job is not shown. {ALL}"),
        (3, 1, f"2 more jobs are not shown. 1 more resolved job is not shown: {LEFT} {ALL}"),
        (2, 2, f"2 more resolved jobs are not shown: {LEFT} {ALL}"),
    ],
)
def test_jobs_that_are_not_shown_are_counted_with_their_reason(failed: int, resolved: int, expected: str) -> None:
    html = html_of(with_failed_jobs(failed, resolved))
    found = re.search(r'<p id="jobs-more"[^>]*>(.*?)</p>', html)
    assert found is not None
    assert found[1].strip() == expected


def test_the_telemetry_path_is_escaped() -> None:
    assert b'<a href="/&#34;&gt;">' in page(build_report(status_input()), '/">')


def test_the_policy_allows_only_the_inline_style_and_script() -> None:
    text = page(build_report(status_input("a")), "/metrics").decode()
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in POLICY


async def test_surrogates_break_neither_page_nor_json(http: ClientSession, service: Service) -> None:
    service.set_load_status(is_current=False, problems=(str(Problem("/etc/\udcff.yaml", "cannot be read")),))
    for path in PATHS:
        async with http.get(path, headers=PLAIN) as response:
            assert r"\udcff.yaml" in (await response.text()).replace("\\\\", "\\")


@pytest.mark.parametrize(
    ("done", "doing", "failed"), [(0, 0, 1), (999_999, 0, 1), (500_000, 500_000, 0), (0, 0, 1_000_000), (1, 1, 1)]
)
def test_a_progress_bar_contains_its_segments_and_shows_every_failure(done: int, doing: int, failed: int) -> None:
    moving, broken = segments(Progress(total=1_000_000, done=done, part_done=0, doing=doing, failed=failed, ratio=None))
    for mark, count in ((moving, doing), (broken, failed)):
        assert 0 <= mark.x <= mark.x + mark.width <= BAR_UNITS
        assert (mark.width >= MIN_SEGMENT_UNITS) == bool(count)


async def test_page_and_json_have_the_same_values(http: ClientSession, service: Service) -> None:
    async with http.get("/", headers=PLAIN) as response:
        text = await response.text()
    for each in build_report(service.status_input()).sources:
        assert each.name in text
        progress = progress_of(next(s for s in _rows(service) if s.id == each.id))
        # A data source that was never scanned has no progress.
        assert (progress is None) == (each.progress is None) == (each.metadata_synced_at is None)
        assert progress is None or f'value="{progress.done}"' in text


def _rows(service: Service) -> list[DataSource]:
    sources = service.status_input().snapshot.accounts[0].sources
    return [each.stats.row for each in sources if each.stats is not None]


@pytest.mark.parametrize("path", PATHS)
async def test_the_response_is_compressed_if_the_client_accepts_gzip(http: ClientSession, path: str) -> None:
    async with http.get(path, headers=PLAIN) as plain, http.get(path, headers={"accept-encoding": "gzip"}) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(await packed.read()) == await plain.read()


@pytest.mark.parametrize("path", PATHS)
async def test_the_response_has_security_headers(http: ClientSession, path: str) -> None:
    async with http.get(path) as response:
        headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "private, no-cache"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_matching_etag_gets_304(http: ClientSession, path: str) -> None:
    async with http.get(path) as response:
        tag = response.headers["etag"]
    async with http.get(path, headers={"if-none-match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with http.get(path, headers={"if-none-match": 'W/"another"'}) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_only_get_and_head_are_allowed(http: ClientSession, path: str) -> None:
    async with http.head(path) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert int(response.headers["content-length"]) > 0
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        async with http.request(method, path) as response:
            assert response.status == 405


async def test_the_json_keeps_its_path_if_the_telemetry_path_is_the_root(service: Service) -> None:
    async with (
        TestServer(application(service, "/", None)) as server,
        ClientSession(server.make_url("/")) as session,
        session.get("/api/v1/status") as response,
    ):
        assert (await response.json())["schema_version"] == 1


async def test_a_failed_reload_is_shown_at_once(http: ClientSession, service: Service) -> None:
    async with http.get("/api/v1/status") as response:
        assert response.status == 200
    service.set_load_status(is_current=False, problems=(str(Problem("accounts[0].region", "is required")),))
    async with http.get("/", headers=PLAIN) as response:
        text = await response.text()
    assert "accounts[0].region: is required" in text
    assert "Last reload failed" in text


async def test_neither_shows_a_secret(http: ClientSession, service: Service, simulator: Simulator) -> None:
    # Neither of the account, nor of the `config` of its sources, nor of an error of MMS.
    simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", message=f"password {CANARY}"))
    await service.apply(config_on(simulator.url, refresh={"interval": "30s"}))
    await eventually(lambda: any(item.message for item in build_report(service.status_input()).attention))
    for path in PATHS:
        async with http.get(path, headers=PLAIN) as response:
            text = await response.text()
        assert "ListMmsJobs failed" in text
        for secret in (CANARY, IDENTITY.access_key_id, IDENTITY.access_key_secret):
            assert secret not in text


@pytest.fixture
def made() -> list[StatusReport]:
    """Provide the reports that were rendered."""
    return []


@pytest.fixture
def rendering(made: list[StatusReport]) -> Callable[[StatusReport], bytes]:
    """Provide a render function that records its reports."""

    def render(report: StatusReport) -> bytes:
        made.append(report)
        return b"document"

    return render


async def test_a_document_is_rendered_once_for_each_status_input(
    made: list[StatusReport], rendering: Callable[[StatusReport], bytes]
) -> None:
    now = [status_input("a")]
    document = CachedDocument(lambda: now[0], rendering)
    assert not made, "no request yet"
    first = await document.current()
    now[0] = status_input("a")
    assert await document.current() is first
    now[0] = status_input("b", publication=2)
    assert await document.current() is not first
    assert len(made) == 2


async def test_concurrent_requests_wait_for_one_rendering(
    made: list[StatusReport], rendering: Callable[[StatusReport], bytes]
) -> None:
    document = CachedDocument(lambda: status_input("a"), rendering)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(document.current()) for _ in range(10)]
    assert len({id(task.result()) for task in tasks}) == 1
    assert len(made) == 1


@pytest.mark.parametrize(
    ("progress", "outdated", "shown"),
    [
        (0.4257, 1, ("Scanning 42.5 %", "1 outdated partition<")),
        (None, 1200, ("Scanning<", "1,200 outdated partitions")),
        (0.0, 0, ("Scanning 0.0 %",)),
        (None, None, ("Scanning<",)),
    ],
)
def test_a_running_scan_and_outdated_partitions_are_shown(
    progress: float | None, outdated: int | None, shown: tuple[str, ...]
) -> None:
    made = source(1)
    assert made.stats is not None
    row = structs.replace(made.stats.row, scan_status=ScanStatus.DOING)
    scan = ScanStats(made.name, progress, outdated)
    account = AccountSnapshot(
        "a", up=True, sources=(structs.replace(made, stats=structs.replace(made.stats, row=row), scan=scan),)
    )
    html = html_of(account)
    assert all(text in html for text in shown)
    assert ("outdated partition" in html) == bool(outdated), "neither 0 nor an unknown number is shown"
    report = build_report(StatusInput(Snapshot((account,)), 1, 1.75e9, 1.7e9, Load(1.7e9, is_current=True), ()))
    assert (report.sources[0].scan_ratio, report.sources[0].partitions_outdated) == (progress, outdated)


@pytest.mark.parametrize(("last_scan", "shown"), [("2025-06-01 00:00:00", "nothing to migrate"), (None, "unknown")])
def test_an_empty_inventory_is_unknown_until_it_was_scanned(last_scan: str | None, shown: str) -> None:
    made = source(1)
    assert made.stats is not None
    counters = {name: 0 for name in made.stats.row.__struct_fields__ if name.endswith("_num")}
    row = structs.replace(made.stats.row, last_update_time=last_scan, **counters)
    empty = structs.replace(made, databases=None, stats=structs.replace(made.stats, row=row))
    html = html_of(AccountSnapshot("a", up=True, sources=(empty,)))
    assert [text for text in ("nothing to migrate", "unknown") if f'class="dim">{text}</span></td>' in html] == [shown]
