"""The refresh of an account: expiry of values, isolation of errors, and logs."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collect.collectors.jobs import JobsCollector
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.collect.state.source_state import SourceState
from exporter.exposition.telemetry import Telemetry
from exporter.mms.client import Client
from exporter.mms.credentials import credential_source
from exporter.simulator import Fault, ManualClock, Simulator
from exporter.simulator.world import events
from exporter.web.status.status_report import Load, StatusInput, build_report
from tests.conftest import config_on
from tests.harness import eventually, harness_on

STALE_AFTER = 300
SOURCE = {"source_id": "2000001"}
READ = dict.fromkeys(("datasources", "jobs", "databases", "scan", "failures", "reasons", "timers"), 1)
"""Success of each collector that is on by default."""


async def test_values_are_kept_until_stale_while_listing_fails(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        before = await harness.refresh()
        simulator.faults.add(Fault(kind="error", operation="ListMmsDataSources"))
        simulator.faults.add(Fault(kind="error", operation="ListMmsJobs"))
        clock.advance(STALE_AFTER)
        served = await harness.refresh()
        assert served.value("mms_up") == 0
        for family in ("mms_tables", "mms_partitions", "mms_jobs", "mms_datasource_info"):
            assert served.samples[family] == before.samples[family]
        clock.advance(1)
        served = await harness.refresh()
        assert not {"mms_tables", "mms_jobs", "mms_datasource_info", "mms_job_tasks"} & set(served.samples)
        assert served.value("mms_datasource_refresh_success", **SOURCE) == 0
        assert served.value("mms_datasource_refresh_last_success_timestamp_seconds", **SOURCE) == before.value(
            "mms_datasource_refresh_last_success_timestamp_seconds", **SOURCE
        )
        simulator.faults.clear()
        served = await harness.refresh()
        assert served.value("mms_up") == 1
        assert len(served.by("mms_jobs", "source_id", status="DONE")) == 6


async def test_a_source_that_moves_between_two_pages_is_kept(simulator: Simulator, clock: ManualClock) -> None:
    """Deleting the first of six sources moves one from page 2 to page 1."""
    async with harness_on(config_on(simulator.url), clock) as harness:
        before = await harness.refresh()
        simulator.page_size_cap = 3
        gone = events.RemoveSource(source_id=2000001)
        simulator.faults.add(Fault(kind="meanwhile", operation="ListMmsDataSources", event=gone, times=1))
        served = await harness.refresh()
        assert served.by("mms_datasource_info", "source_id") == before.by("mms_datasource_info", "source_id")
        served = await harness.refresh()
        assert set(served.by("mms_datasource_info", "source_id")) == {str(2000002 + i) for i in range(5)}


async def test_unreadable_jobs_of_one_source_affect_nothing_else(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", source_id=2000001))
        served = await harness.refresh()
        assert served.value("mms_up") == 1
        assert served.by("mms_refresh_success", "collector") == READ | {"jobs": 0}
        assert set(served.by("mms_jobs", "source_id", status="DONE")) == {str(2000002 + i) for i in range(5)}
        assert len(served.by("mms_datasource_info", "source_id")) == 6
        assert served.by("mms_datasource_refresh_success", "source_id") == {
            str(2000001 + i): float(i > 0) for i in range(6)
        }


async def test_jobs_are_read_while_listing_sources_fails(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url, jobs={"idle_interval": "1s"}), clock) as harness:
        await harness.refresh()
        simulator.faults.add(Fault(kind="error", operation="ListMmsDataSources", status=403, code="NoPermission"))
        clock.advance(STALE_AFTER + 1)
        served = await harness.refresh()
        assert served.by("mms_refresh_success", "collector") == READ | {"datasources": 0}
        assert served.by("mms_jobs", "source_id", status="DONE")
        assert "mms_tables" not in served.samples


@pytest.mark.parametrize(
    ("code", "reason"), [("SignatureDoesNotMatch", "auth"), ("InvalidAccessKeyId.NotFound", "auth")]
)
async def test_a_rejected_access_key_ends_the_refresh(
    simulator: Simulator, clock: ManualClock, code: str, reason: str
) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        await harness.refresh()
        simulator.calls_reset()
        simulator.faults.add(Fault(kind="error", status=403, code=code))
        served = await harness.refresh()
        assert simulator.calls.total() == 1
        assert served.by("mms_refresh_success", "collector") == dict.fromkeys(READ, 0)
        assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {0}
        assert served.value("mms_api_request_failures_total", operation="ListMmsDataSources", reason=reason) == 1


async def test_a_source_missing_from_a_complete_list_is_removed_immediately(
    simulator: Simulator, clock: ManualClock
) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        await harness.refresh()
        simulator.world.remove(2000001)
        served = await harness.refresh()
        assert all(not served.having(name, **SOURCE) for name in served.samples)


async def test_a_source_missing_from_an_incomplete_list_is_kept(simulator: Simulator, clock: ManualClock) -> None:
    """Rows can move between pages during a read, so a missing row may exist."""
    async with harness_on(config_on(simulator.url), clock) as harness:
        await harness.refresh()
        simulator.world.remove(2000001)
        simulator.faults.add(Fault(kind="total", operation="ListMmsDataSources", total=6))
        served = await harness.refresh()
        assert served.value("mms_datasource_info", **SOURCE) == 1
        assert served.value("mms_datasource_refresh_success", **SOURCE) == 0
        found = {"operation": "ListMmsDataSources", "field": "total"}
        assert served.value("mms_exporter_unexpected_values_total", **found) == 1


@pytest.mark.parametrize("kind", ["nulls", "wrong_types", "missing"])
async def test_a_malformed_field_affects_no_other_field(simulator: Simulator, clock: ManualClock, kind: Any) -> None:  # noqa: ANN401 - a Kind
    async with harness_on(config_on(simulator.url), clock) as harness:
        whole = await harness.refresh()
        fault = Fault(kind=kind, operation="ListMmsDataSources", fields=("tablesDoneNum", "agentIsOnline"), rows=1)
        simulator.faults.add(fault)
        served = await harness.refresh()
        assert set(served.by("mms_tables", "status", **SOURCE)) == {"DOING", "PART_DONE", "FAILED"}
        assert served.value("mms_datasource_agent_online", **SOURCE) is None
        assert served.by("mms_partitions", "status", **SOURCE) == whole.by("mms_partitions", "status", **SOURCE)
        assert served.value("mms_tables", source_id="2000002", status="DONE") is not None
        assert served.by("mms_exporter_unexpected_values_total", "field") == {"tablesDoneNum": 1, "agentIsOnline": 1}


async def test_an_unknown_status_is_shown_as_unknown_and_counted(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(
            Fault(kind="unknown_status", operation="ListMmsDataSources", value="HIBERNATING", rows=1),
        )
        served = await harness.refresh()
        statuses = served.by("mms_datasource_status", "status", **SOURCE)
        assert {status for status, value in statuses.items() if value} == {"UNKNOWN"}
        found = {"operation": "ListMmsDataSources", "field": "status"}
        assert served.value("mms_exporter_unexpected_values_total", **found) == 1


async def test_a_failure_is_logged_when_it_begins_and_when_it_ends(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        with capture_logs() as lines:
            await harness.refresh()
            simulator.faults.add(Fault(kind="error", operation="ListMmsDataSources", status=403, code="NoPermission"))
            for _ in range(3):
                await harness.refresh()
            simulator.faults.clear()
            for _ in range(3):
                await harness.refresh()
        seen = [line for line in lines if line["log_level"] != "debug"]
        logged = [(line["log_level"], line["collector"], line.get("reasons")) for line in seen]
        assert logged == [("warning", "datasources", "permission"), ("info", "datasources", None)]


async def test_an_unexpected_error_in_one_source_affects_nothing_else(
    simulator: Simulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        read = JobsCollector.read

        async def read_with_a_bug(collector: JobsCollector, source: SourceState, now: float) -> None:
            if source.name.source_id == 2000001:
                raise ZeroDivisionError
            await read(collector, source, now)

        monkeypatch.setattr(JobsCollector, "read", read_with_a_bug)
        with capture_logs() as lines:
            served = await harness.refresh()
        assert served.value("mms_datasource_refresh_success", **SOURCE) == 0
        assert len(served.by("mms_jobs", "source_id", status="DONE")) == 5
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["unexpected error"]


def refresher_on(
    url: str, telemetry: Telemetry, published: list[float], **sections: Any
) -> tuple[AccountRefresher, Client]:
    """Return a refresher in real time that appends publication times to `published`."""
    config = config_on(url, {"timeout": "30s"}, **sections)
    observer = telemetry.account("test")
    client = Client(url, credential_source(config.accounts[0].credentials), observer)
    note = lambda: published.append(asyncio.get_running_loop().time())  # noqa: E731 - a callback
    return AccountRefresher(config.accounts[0], config, client, observer, note), client


async def test_a_refresh_longer_than_the_interval_skips_and_never_overlaps(simulator: Simulator) -> None:
    telemetry, published = Telemetry(with_process=False), list[float]()
    simulator.faults.add(Fault(kind="hang", operation="ListMmsDataSources"))
    refresher, client = refresher_on(simulator.url, telemetry, published, refresh={"interval": "1s"})
    async with client, asyncio.TaskGroup() as group:
        running = group.create_task(refresher.run())
        skipped = telemetry.calls.skipped.labels("test")
        await eventually(lambda: next(iter(skipped.collect())).samples[0].value == 2)
        assert simulator.calls["ListMmsDataSources", None] == 1
        running.cancel()


async def test_a_hanging_refresh_ends_at_stale_after(simulator: Simulator) -> None:
    telemetry, published = Telemetry(with_process=False), list[float]()
    refresher, client = refresher_on(
        simulator.url, telemetry, published, refresh={"interval": "1s", "stale_after": "1s"}
    )
    async with client:
        await refresher.refresh()
        simulator.faults.add(Fault(kind="hang"))
        publications = len(published)
        hanging = asyncio.create_task(refresher.refresh())
        await eventually(lambda: refresher.snapshot().sources[0].stats is None)
        assert not hanging.done() or refresher.snapshot().up is False
        await hanging
        assert len(published) > publications
        snapshot = refresher.snapshot()
        assert not snapshot.up
        assert all(source.stats is None and source.jobs is None for source in snapshot.sources)


async def test_unavailable_credentials_are_counted_with_their_reason(clock: ManualClock) -> None:
    settings = {"credentials": {"type": "credentials_uri", "uri": "http://127.0.0.1:1/none"}}
    async with harness_on(config_on("http://127.0.0.1:1", settings), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_up") == 0
        failed = {"operation": "ListMmsDataSources", "reason": "credentials"}
        assert served.value("mms_api_request_failures_total", **failed) == 1


async def test_excluded_sources_are_neither_read_nor_exported(simulator: Simulator, clock: ManualClock) -> None:
    sources = {"include": ["hive-.*", "big.*"], "exclude": ["bigquery-.*"]}
    async with harness_on(config_on(simulator.url, {"sources": sources}), clock) as harness:
        served = await harness.refresh()
        shown = served.by("mms_datasource_info", "source")
        assert shown
        assert all(name.startswith("hive-") for name in shown)
        asked = {source_id for operation, source_id in simulator.calls if operation == "ListMmsJobs"}
        assert asked == {int(source_id) for source_id in served.by("mms_datasource_info", "source_id")}


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ({"include": ["hive-sales"]}, "sources.include 'hive-sales' matches no data source"),
        ({"types": ["ORACLE"]}, "`sources` selects none of the 6 data sources"),
    ],
)
async def test_a_selection_that_matches_nothing_is_an_incomplete_refresh(
    simulator: Simulator, clock: ManualClock, sources: dict[str, list[str]], problem: str
) -> None:
    async with harness_on(config_on(simulator.url, {"sources": sources}), clock) as harness:
        with capture_logs() as lines:
            for _ in range(2):
                served = await harness.refresh()
        assert served.value("mms_up") == 1
        assert served.by("mms_refresh_success", "collector") == READ | {"datasources": 0}
        assert set(served.by("mms_datasource_refresh_success", "source_id").values()) <= {1}
        (line,) = lines
        assert line["event"] == "a selection of data sources matches nothing"
        assert (line["collector"], line["reasons"], line["first"]) == ("datasources", "selection", problem)
        report = build_report(StatusInput(Snapshot((harness.refresher.snapshot(),)), 1, 1.0, 1.0, Load(), ()))
        (item,) = (each for each in report.attention if "MmsCollectorStale" in each.runbook)
        assert (item.severity, item.message) == ("warning", f"selection: {problem}")
        assert [each.hint for each in report.accounts[0].collectors[0].troubles] == [item.hint]


async def test_a_pattern_that_matches_nothing_beside_others_is_no_failure(
    simulator: Simulator, clock: ManualClock
) -> None:
    """The data source may not exist yet, or not any more; `check` names the pattern."""
    config = config_on(simulator.url, {"sources": {"include": ["hive-.*", "hive-sales"]}})
    async with harness_on(config, clock) as harness:
        served = await harness.refresh()
    assert served.by("mms_refresh_success", "collector") == READ


async def test_a_listing_that_times_out_is_a_failure(simulator: Simulator) -> None:
    """Idle sources take no call, and must not count as read without a listing."""
    telemetry, published = Telemetry(with_process=False), list[float]()
    refresher, client = refresher_on(
        simulator.url, telemetry, published, refresh={"interval": "1s", "stale_after": "1s"}
    )
    async with client:
        await refresher.refresh()
        before = {source.name: source.last_success_at for source in refresher.snapshot().sources}
        simulator.faults.add(Fault(kind="hang", operation="ListMmsDataSources"))
        await refresher.refresh()
        after = refresher.snapshot().sources
    assert not any(source.refreshed for source in after)
    assert {source.name: source.last_success_at for source in after} == before


async def test_a_start_without_permission_reports_no_success(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="error", operation="ListMmsDataSources", status=403, code="NoPermission"))
        served = await harness.refresh()
        assert served.by("mms_refresh_success", "collector") == dict.fromkeys(READ, 0)
        assert served.by("mms_refresh_last_success_timestamp_seconds", "collector") == {}
        assert set(served.by("mms_refresh_duration_seconds", "collector")) == {"datasources"}, "jobs did not run"


async def test_a_source_missing_from_incomplete_lists_is_removed_when_stale(
    simulator: Simulator, clock: ManualClock
) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="total", operation="ListMmsDataSources", total=99))
        await harness.refresh()
        simulator.world.remove(2000001)
        clock.advance(STALE_AFTER)
        assert (await harness.refresh()).value("mms_datasource_refresh_success", **SOURCE) == 0
        clock.advance(1)
        served = await harness.refresh()
        assert all(not served.having(name, **SOURCE) for name in served.samples)


async def test_listed_sources_are_published_before_all_jobs_are_read(simulator: Simulator) -> None:
    telemetry, published = Telemetry(with_process=False), list[float]()
    refresher, client = refresher_on(simulator.url, telemetry, published)
    simulator.faults.add(Fault(kind="hang", operation="ListMmsJobs"))
    async with client:
        refreshing = asyncio.create_task(refresher.refresh())
        await eventually(lambda: bool(published))
        snapshot = refresher.snapshot()
        assert snapshot.up
        assert all(source.stats is not None for source in snapshot.sources)
        refreshing.cancel()


async def test_a_log_line_names_the_source(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", source_id=2000001, status=403))
        with capture_logs() as lines:
            await harness.refresh()
        (warning,) = (line for line in lines if line["log_level"] == "warning")
        assert warning["about"] == "hive-sales-001 (2000001)"


async def test_the_end_of_a_credential_outage_is_logged_once(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="error", status=403, code="SignatureDoesNotMatch"))
        with capture_logs() as lines:
            await harness.refresh()
            simulator.faults.clear()
            await harness.refresh()
        assert [line["log_level"] for line in lines if line["log_level"] != "debug"] == ["warning", "info"]
