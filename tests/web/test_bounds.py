"""Both documents are bounded in bytes, whatever names hold; what is left out is counted."""

import re

import msgspec
import pytest

from benchmarks.worlds import source
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    Failed,
    Failures,
    FailuresFigures,
    JobFigures,
    JobsFigures,
    PartitionFigures,
    Snapshot,
    SourceName,
    SourceSnapshot,
    TableFigures,
    Trouble,
)
from exporter.web import bounds
from exporter.web import page as pages
from exporter.web.page import page
from exporter.web.report import Report
from exporter.web.status import MAX_SOURCES, Load, Situation, report_of

HOSTILE = {
    "quotes": "'" * 512,
    "control": "\x01" * 512,
    "surrogate": "\udcff" * 512,
    "unseen": "\U000e0001" * 512,
    "wide": "\U00020000" * 512,
}
EACH = 2
"""Jobs, failed tables and failed partitions of each source."""


def named(number: int, name: str) -> SourceSnapshot:
    """Return a data source in which every text is `name`."""
    made = source(number)
    assert made.figures is not None
    own = SourceName("account", number, name)
    row = msgspec.structs.replace(
        made.figures.row, name=name, region=name, networklink=name, type=name, status=name, dst_projects=(name,)
    )
    row = msgspec.structs.replace(row, tables_failed_num=EACH, partitions_failed_num=EACH)
    failed = Failures(tuple(Failed(f"{each}{name}", name, name, name, name, name) for each in range(EACH)), EACH)
    job = JobFigures(1, name, name, name, name, name, name, name, "DOING", False, 5, 1, 1e9, 1e9)
    jobs = tuple(msgspec.structs.replace(job, job_id=each) for each in range(EACH))
    return msgspec.structs.replace(
        made,
        name=own,
        figures=msgspec.structs.replace(made.figures, name=own, row=row),
        jobs=JobsFigures(own, {"DOING": EACH}, 0, jobs, 0),
        failures=FailuresFigures(own, failed, failed),
    )


def full(name: str) -> Report:
    """Return the report of as much as is ever shown, with every text `name`."""
    own = SourceName("account", 1, name)
    tables = tuple(TableFigures(own, each, name, name, name, 1, 2, 3, 6, 10, 20, 1.7e9) for each in range(500))
    partitions = tuple(PartitionFigures(own, each, name, name, name, name, 1, 1, 1.7e9) for each in range(500))
    troubles = tuple(Trouble(f"r{each % 100}", name, name, "wait") for each in range(1000))
    listing = CollectorSnapshot("account", "datasources", False, 0.5, 1.7e9, troubles, 1000)
    sources = tuple(named(number, name) for number in range(MAX_SOURCES))
    account = AccountSnapshot("account", True, True, (listing,), sources, tables, partitions)
    return report_on(account)


def report_on(account: AccountSnapshot) -> Report:
    """Return the report of one account."""
    return report_of(Situation(Snapshot((account,)), 1, 1.75e9, 1.7e9, Load(1.7e9, is_current=True), ()))


@pytest.fixture(scope="module", params=list(HOSTILE.values()), ids=list(HOSTILE))
def report(request: pytest.FixtureRequest) -> Report:
    """Provide a full report of one kind of hostile names."""
    return full(request.param)


def test_the_json_is_no_larger_than_its_bound(report: Report) -> None:
    assert len(msgspec.json.encode(report)) <= bounds.MAX_BYTES


def test_the_page_is_no_larger_than_its_bound(report: Report) -> None:
    assert len(page(report, "/metrics")) <= pages.MAX_BYTES


def test_the_page_is_so_too_where_a_name_takes_five_times_the_bytes_it_takes_in_the_json() -> None:
    assert len(page(full("'" * 120), "/metrics")) <= pages.MAX_BYTES


def test_what_the_json_has_no_room_for_is_counted(report: Report) -> None:
    assert 0 < len(report.sources) == MAX_SOURCES - report.sources_omitted < MAX_SOURCES
    for each in report.sources:
        assert each.jobs is not None
        assert len(each.jobs.listed) + each.jobs.omitted == EACH
        for failures in (each.failed_tables, each.failed_partitions):
            assert failures is not None
            assert len(failures.named) + failures.omitted == failures.total
    watched = len(report.watched_tables) + len(report.watched_partitions)
    assert watched + report.watched_omitted == 1000
    (collector,) = report.accounts[0].collectors
    assert len(collector.troubles) + collector.troubles_omitted == 1000


def test_there_is_some_of_every_kind(report: Report) -> None:
    assert report.watched_tables
    assert any(each.jobs and each.jobs.listed for each in report.sources)
    assert any(each.failed_tables and each.failed_tables.named for each in report.sources)


def test_what_the_page_has_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_on(AccountSnapshot("account", up=True, sources=tuple(named(each, "n") for each in range(100))))
    monkeypatch.setattr(pages, "SOURCES_UNTIL", 50_000)
    text = page(report, "/metrics").decode()
    shown = len(re.findall(r'data-key="account/\d+"', text))
    assert 0 < shown < 100
    assert f"{100 - shown} more data sources are not shown here" in text


def test_where_there_is_no_room_for_all_what_needs_attention_stays() -> None:
    calm = [
        msgspec.structs.replace(quiet(named(number, HOSTILE["control"])), jobs=None)
        for number in range(MAX_SOURCES - 1)
    ]
    last = msgspec.structs.replace(named(MAX_SOURCES, "z"), refreshed=False)
    report = report_on(AccountSnapshot("account", up=True, sources=(*calm, last)))
    assert report.sources_omitted
    assert report.sources[-1].name == "z"
    assert f'data-key="account/{MAX_SOURCES}"' in page(report, "/metrics").decode()


def quiet(each: SourceSnapshot) -> SourceSnapshot:
    """Return a data source in which nothing failed."""
    assert each.figures is not None
    row = msgspec.structs.replace(each.figures.row, tables_failed_num=0, partitions_failed_num=0)
    return msgspec.structs.replace(each, figures=msgspec.structs.replace(each.figures, row=row), failures=None)


def test_two_thousand_sources_of_usual_names_are_all_there_in_both() -> None:
    report = report_on(AccountSnapshot("account", up=True, sources=tuple(named(n, "n" * 20) for n in range(2000))))
    assert len(re.findall(r'data-key="account/\d+"', page(report, "/metrics").decode())) == MAX_SOURCES
    assert sum(len(each.jobs.listed) for each in report.sources if each.jobs) == MAX_SOURCES


CUT = "y" * 119 + "…"


@pytest.mark.parametrize(("length", "shown", "titles"), [(120, "y" * 120, 0), (300, CUT, 1), (513, CUT, 0)])
def test_a_long_name_is_cut_and_its_whole_stands_beside_it_where_that_is_short(
    length: int, shown: str, titles: int
) -> None:
    report = report_on(AccountSnapshot("account", up=True, sources=(named(1, "y" * length),)))
    (row,) = re.findall(r'data-key="account/1">.*?</bdi>', page(report, "/metrics").decode(), re.DOTALL)
    assert row.endswith(f">{shown}</bdi>")
    assert row.count(f'title="{"y" * length}"') == row.count("title=") == titles
