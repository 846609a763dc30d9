"""The page and the JSON have at most 8 MB with any names; omitted rows are counted."""

import re
from functools import partial

import msgspec
import pytest

from benchmarks.worlds import source
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    JobsStats,
    JobStats,
    PartitionStats,
    ReasonsStats,
    RefreshError,
    Snapshot,
    SourceName,
    SourceSnapshot,
    TableStats,
    TimersStats,
    TimerStats,
)
from exporter.mms.diagnosis.reason_rules import Reason
from exporter.mms.models.records import Database, Job, JobConfig, Partition, Table
from exporter.mms.models.schedules import TimerRuns
from exporter.mms.models.statuses import (
    DataSourceStatus,
    JobStatus,
    PartitionStatus,
    ScanStatus,
    ScheduleType,
    TableStatus,
)
from exporter.mms.models.timer_records import Timer
from exporter.web.document_cache import MAX_BYTES, CachedDocument
from exporter.web.status.page import page
from exporter.web.status.status_report import DEFAULT_LIMITS, Load, StatusInput
from exporter.web.status.status_schema import StatusReport

HOSTILE = {
    # The first grows most on the page, the second in JSON.
    "quotes": "'" * 512,
    "control": "\x01" * 512,
    "surrogate": "\udcff" * 512,
    "unseen": "\U000e0001" * 512,
    "wide": "\U00020000" * 512,
}
EACH = 2
"""Databases, jobs, failed tables, failed partitions and timers of each source."""
PROJECTS = 20


def named_timer(number: int, name: str) -> Timer:
    """Return a timer in which every text is `name`."""
    kind = ScheduleType(name)
    return Timer(id=number, name=name, src_db_name=name, schedule_type=kind, value=name, stopped=True)


def named(number: int, name: str) -> SourceSnapshot:
    """Return a data source in which every text is `name`."""
    made = source(number)
    assert made.stats is not None
    own = SourceName("account", number, name)
    projects = tuple(f"{each}{name}" for each in range(PROJECTS))
    row = msgspec.structs.replace(
        made.stats.row,
        name=name,
        region=name,
        networklink=name,
        type=name,
        status=DataSourceStatus(name),
        dst_projects=projects,
    )
    row = msgspec.structs.replace(row, tables_failed_num=EACH, partitions_failed_num=EACH, scan_status=ScanStatus(name))
    failed = FailedUnits(tuple(FailedUnit(f"{each}{name}", name, name, name, name, name) for each in range(EACH)), EACH)
    named_job = Job(
        id=1,
        name=name,
        type=name,
        src_db_name=name,
        src_schema_name=name,
        dst_db_name=name,
        dst_schema_name=name,
        status=JobStatus.DOING,
        stopped=False,
        task_num=5,
        task_done=1,
        config=JobConfig(task_type=name),
    )
    jobs = tuple(JobStats(msgspec.structs.replace(named_job, id=each), 1e9, 1e9) for each in range(EACH))
    database = Database(
        id=1,
        name=name,
        status=TableStatus(name),
        tables=EACH,
        tables_done=1,
        tables_failed=1,
        partitions=EACH,
        partitions_done=1,
        partitions_failed=1,
        dst_project_name=name,
        dst_name=name,
        size=2**60,
        num_rows=2**60,
    )
    runs = TimerRuns(1e9, JobStatus(name), None)
    databases = tuple(msgspec.structs.replace(database, id=each) for each in range(EACH))
    return msgspec.structs.replace(
        made,
        name=own,
        stats=msgspec.structs.replace(made.stats, name=own, row=row),
        databases=DatabasesStats(own, databases, EACH),
        jobs=JobsStats(own, {"DOING": EACH}, 0, jobs, 0),
        failures=FailuresStats(own, failed, failed),
        timers=TimersStats(own, tuple(TimerStats(named_timer(each, name), runs, 1e9) for each in range(EACH)), EACH),
        reasons=ReasonsStats(own, {}, dict.fromkeys(Reason, 2**60)),
    )


def full(name: str) -> AccountSnapshot:
    """Return a report input at its limits, with every text `name`."""
    own = SourceName("account", 1, name)
    table = Table(id=1, db_name=name, name=name, status=TableStatus(name), partitions_doing=1, size=10, num_rows=20)
    partition = Partition(id=1, db_name=name, table_name=name, value=name, status=PartitionStatus(name), size=1)
    tables = tuple(TableStats(own, msgspec.structs.replace(table, id=each), 1.7e9) for each in range(500))
    partitions = tuple(PartitionStats(own, msgspec.structs.replace(partition, id=each), 1.7e9) for each in range(500))
    troubles = tuple(RefreshError(f"r{each % 100}", name, name, "wait") for each in range(1000))
    listing = CollectorSnapshot("account", "datasources", False, 0.5, 1.7e9, troubles, 1000)
    sources = tuple(named(number, name) for number in range(DEFAULT_LIMITS.sources))
    return AccountSnapshot("account", True, True, (listing,), sources, tables, partitions)


async def made(account: AccountSnapshot) -> tuple[bytes, str]:
    """Return the served JSON and page of one account."""
    status_input = StatusInput(Snapshot((account,)), 1, 1.75e9, 1.7e9, Load(1.7e9, is_current=True), ())
    json = await CachedDocument(lambda: status_input, msgspec.json.encode).current()
    html = await CachedDocument(lambda: status_input, partial(page, telemetry_path="/metrics")).current()
    return json.plain, html.plain.decode()


def keys_in(html: str) -> list[str]:
    """Return the row keys of the data sources on a page."""
    return re.findall(r'data-key="account/(\d+)"', html)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, id=kind, marks=[] if kind == "quotes" else pytest.mark.scale)
        for kind, name in HOSTILE.items()
    ],
)
async def test_2000_sources_with_hostile_names_fit_into_8_mb(name: str) -> None:
    json, html = await made(full(name))
    assert len(json) <= MAX_BYTES
    assert len(html.encode()) <= MAX_BYTES
    check_omitted(msgspec.json.decode(json, type=StatusReport))
    shown = len(keys_in(html))
    assert 0 < shown < DEFAULT_LIMITS.sources
    assert f"{DEFAULT_LIMITS.sources - shown:,} more data sources are not shown" in html


def check_omitted(report: StatusReport) -> None:
    """Assert that each list has rows and counts the omitted ones."""
    assert 0 < len(report.sources) == DEFAULT_LIMITS.sources - report.sources_omitted < DEFAULT_LIMITS.sources
    assert all(each.jobs and each.jobs.listed for each in report.sources)
    for each in report.sources:
        assert each.jobs is not None
        assert len(each.jobs.listed) + each.jobs.omitted == EACH
        assert each.database_list is not None
        assert 0 < len(each.database_list.listed) == EACH - each.database_list.omitted
        assert each.schedules is not None
        assert 0 < len(each.schedules.listed) == EACH - each.schedules.omitted
        for failures in (each.failed_tables, each.failed_partitions):
            assert failures is not None
            assert 0 < len(failures.named) == failures.total - failures.omitted
    assert report.watched_tables
    watched = len(report.watched_tables) + len(report.watched_partitions)
    assert watched + report.watched_omitted == 1000
    (collector,) = report.accounts[0].collectors
    assert 0 < len(collector.troubles) == 1000 - collector.troubles_omitted


async def test_a_name_that_is_five_times_larger_on_the_page_is_limited_there_too() -> None:
    json, html = await made(full("'" * 120))
    assert max(len(json), len(html.encode())) <= MAX_BYTES


async def test_sources_that_need_attention_take_precedence_in_a_large_report() -> None:
    calm = [
        msgspec.structs.replace(quiet(named(number, HOSTILE["control"])), jobs=None, timers=None)
        for number in range(DEFAULT_LIMITS.sources - 1)
    ]
    last = msgspec.structs.replace(named(DEFAULT_LIMITS.sources, "z"), refreshed=False)
    json, html = await made(AccountSnapshot("account", up=True, sources=(*calm, last)))
    report = msgspec.json.decode(json, type=StatusReport)
    assert max(len(json), len(html.encode())) <= MAX_BYTES
    assert report.sources_omitted
    assert report.sources[-1].name == "z"
    assert str(DEFAULT_LIMITS.sources) in keys_in(html)


def quiet(each: SourceSnapshot) -> SourceSnapshot:
    """Return a data source without failures."""
    assert each.stats is not None
    row = msgspec.structs.replace(each.stats.row, tables_failed_num=0, partitions_failed_num=0)
    return msgspec.structs.replace(each, stats=msgspec.structs.replace(each.stats, row=row), failures=None)


async def test_2000_sources_with_usual_names_are_complete_in_page_and_json() -> None:
    account = AccountSnapshot("account", up=True, sources=tuple(named(n, "n" * 20) for n in range(2000)))
    json, html = await made(account)
    assert len(keys_in(html)) == DEFAULT_LIMITS.sources
    report = msgspec.json.decode(json, type=StatusReport)
    assert sum(len(each.jobs.listed) for each in report.sources if each.jobs) == DEFAULT_LIMITS.sources


CUT = "y" * 119 + "…"


@pytest.mark.parametrize(("length", "shown", "titles"), [(120, "y" * 120, 0), (300, CUT, 1), (513, CUT, 0)])
async def test_a_long_name_is_truncated_with_the_full_name_as_a_tooltip(length: int, shown: str, titles: int) -> None:
    _, html = await made(AccountSnapshot("account", up=True, sources=(named(1, "y" * length),)))
    (row,) = re.findall(r'data-key="account/1">.*?</bdi>', html, re.DOTALL)
    assert row.endswith(f">{shown}</bdi>")
    assert row.count(f'title="{"y" * length}"') == row.count("title=") == titles


async def test_a_late_schedule_is_listed_before_those_of_other_data_sources() -> None:
    def with_timer(number: int, due_at: float) -> SourceSnapshot:
        source = named(number, "n")
        timers = TimersStats(source.name, (TimerStats(named_timer(7, "n"), None, due_at),), 1)
        return msgspec.structs.replace(source, timers=timers)

    sources = (*(with_timer(number, 4e9) for number in range(999)), with_timer(999, 0.0))
    json, _ = await made(AccountSnapshot("account", up=True, sources=sources))
    report = msgspec.json.decode(json, type=StatusReport)
    listed = {each.id: each.schedules.listed for each in report.sources if each.schedules}
    assert sum(map(len, listed.values())) < len(sources)
    assert [each.late for each in listed[999]] == [True]
