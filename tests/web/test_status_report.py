"""The report has the values of the snapshot, within its limits and schema."""

import gc
import json
import re
from dataclasses import replace
from typing import Any

import jsonschema
import msgspec
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from benchmarks.worlds import snapshot, source
from exporter.app.service import Service
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    PartitionStats,
    RefreshError,
    Snapshot,
    SourceName,
    SourceSnapshot,
    TableStats,
    TimersStats,
    TimerStats,
)
from exporter.exposition.telemetry import Telemetry
from exporter.mms.models.progress import progress_ratio
from exporter.mms.models.records import Database, Partition, Table
from exporter.mms.models.schedules import TimerRuns
from exporter.mms.models.statuses import DataSourceStatus, JobStatus, ScheduleType, TableStatus
from exporter.mms.models.timer_records import Timer
from exporter.sharding import Shard
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from exporter.web.handlers import application
from exporter.web.status import status_report as status
from exporter.web.status.attention import RUNBOOKS
from exporter.web.status.page import page
from exporter.web.status.source_schema import JobEntry, SourceStatus
from exporter.web.status.status_report import Load, StatusInput, build_report
from exporter.web.status.status_schema import StatusReport
from tests.conftest import IDENTITY, config_on
from tests.harness import eventually
from tests.programs import ROOT

SCHEMA = json.loads((ROOT / "docs" / "status.schema.json").read_text(encoding="utf-8"))
ERROR = RefreshError("timeout", "hive-a (7)", "no answer within 10 s", "check the network path")
LONG = "x" * 10_000


LOADED = Load(1.7e9, is_current=True)


def report_on(held: Snapshot, load: Load = LOADED) -> StatusReport:
    """Return the report of a snapshot."""
    return build_report(StatusInput(held, 1, 1.75e9, 1.7e9, load, ()))


def each_of(service: Service) -> dict[int, SourceStatus]:
    """Return the data sources of the current report by ID."""
    return {source.id: source for source in build_report(service.status_input()).sources}


def named_of(source: SourceStatus) -> int | None:
    """Return the total and the listed failed partitions of a source; None if unknown."""
    return source.failed_partitions.total if source.failed_partitions else None


def account_of(*sources: SourceSnapshot, troubles: tuple[RefreshError, ...] = ()) -> Snapshot:
    """Return an account with data sources and errors of its listing."""
    listing = CollectorSnapshot("account", "datasources", not troubles, 0.5, 1.7e9, troubles, len(troubles))
    return Snapshot((AccountSnapshot("account", up=not troubles, collectors=(listing,), sources=sources),))


def with_failures(number: int, count: int) -> SourceSnapshot:
    """Return a data source with failed tables and partitions."""
    made = source(number)
    failed = tuple(FailedUnit("db", f"t{index}", None, "p", "s", f"t{index}") for index in range(count))
    return msgspec.structs.replace(
        made, failures=FailuresStats(made.name, FailedUnits(failed, count), FailedUnits(failed, count))
    )


def with_databases(number: int, count: int) -> SourceSnapshot:
    """Return a data source with databases, in ascending order of their IDs; those with an even one are DONE."""
    made = source(number)
    databases = (
        Database(id=each, name=f"db{each}", status=TableStatus.DOING if each % 2 else TableStatus.DONE)
        for each in range(count)
    )
    return msgspec.structs.replace(made, databases=DatabasesStats(made.name, tuple(databases), count + 5))


def with_timers(number: int, count: int, **row: Any) -> SourceSnapshot:
    """Return a data source with timers of descending IDs; that with the lowest one is late."""
    made = source(number)
    assert made.stats is not None
    stats = msgspec.structs.replace(made.stats, row=msgspec.structs.replace(made.stats.row, **row))
    timers = tuple(
        TimerStats(
            Timer(id=each, name=f"timer{each}", src_db_name="sales", schedule_type=ScheduleType.HOURLY, value="05"),
            TimerRuns(1.74e9, JobStatus.DONE, None) if each % 2 else None,
            1.75e9 + (600 if each else -1801),
        )
        for each in reversed(range(count))
    )
    return msgspec.structs.replace(made, stats=stats, timers=TimersStats(made.name, timers, count + 5))


def titles(report: StatusReport) -> list[str]:
    """Return the titles and messages of the attention items."""
    return [item.title for item in report.attention]


async def status_of(http: ClientSession) -> Any:  # noqa: ANN401 - JSON
    """Return the response of /api/v1/status, validated by its schema."""
    async with http.get("/api/v1/status", headers={"accept-encoding": "identity"}) as response:
        assert response.status == 200
        report = await response.json()
    jsonschema.validate(report, SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    return report


async def test_every_source_has_the_values_of_mms(http: ClientSession, simulator: Simulator) -> None:
    report = {each["id"]: each for each in (await status_of(http))["sources"]}
    rows = simulator.world.truth().data_sources()
    assert set(report) == set(rows)
    for source_id, row in rows.items():
        each = report[source_id]
        assert (each["name"], each["status"], each["agent_online"]) == (row.name, row.status, row.agent_is_online)
        assert (each["tables"]["done"], each["tables"]["failed"]) == (row.tables_done_num, row.tables_failed_num)
        assert (each["partitions"]["inventory"], each["databases"]) == (row.partition_num, row.db_num)


async def test_exactly_the_failed_objects_are_listed(
    service: Service, http: ClientSession, simulator: Simulator
) -> None:
    source_id = simulator.world.source_ids()[0]
    apply_event(simulator.world, events.Fail(source_id=source_id, table_ids=(1, 2)))
    await service.apply(config_on(simulator.url, refresh={"interval": "30s"}))
    row = simulator.world.truth().data_source(source_id)
    await eventually(lambda: each_of(service)[source_id].tables.failed == row.tables_failed_num != 0)
    await eventually(lambda: named_of(each_of(service)[source_id]) == row.partitions_failed_num)
    report = next(each for each in (await status_of(http))["sources"] if each["id"] == source_id)
    truth = simulator.world.truth()
    for kind, objects in (("table", truth.tables(source_id)), ("partition", truth.partitions(source_id))):
        failed = [each for each in objects if each.status == "FAILED"]
        named = report[f"failed_{kind}s"]
        assert named["total"] == len(failed)
        assert named["omitted"] == len(failed) - len(named["named"])
    assert report["failed_partitions"]["total"] > 0


async def test_every_database_has_the_values_of_mms(http: ClientSession, simulator: Simulator) -> None:
    truth = simulator.world.truth()
    for each in (await status_of(http))["sources"]:
        rows = {row.id: row for row in truth.databases(each["id"])}
        found = each["database_list"]
        assert (found["total"], found["omitted"]) == (len(rows), 0)
        for database in found["listed"]:
            row = rows.pop(database["id"])
            assert (database["name"], database["status"], database["rows"]) == (row.name, row.status, row.num_rows)
            assert (database["size_bytes"], database["tables"]["failed"]) == (row.size, row.tables_failed)
            assert database["progress"]["ratio"] == progress_ratio(row)
        assert not rows


async def test_the_same_jobs_are_unfinished_as_in_mms(http: ClientSession, simulator: Simulator) -> None:
    for each in (await status_of(http))["sources"]:
        jobs = [job for job in simulator.world.truth().jobs(each["id"]) if job.status != "DONE"]
        assert {job["id"]: (job["status"], job["tasks_done"]) for job in each["jobs"]["listed"]} == {
            job.id: (job.status, job.task_done) for job in jobs
        }


async def test_a_status_request_makes_no_call_to_mms(http: ClientSession, simulator: Simulator) -> None:
    before = simulator.calls.total()
    for path in ("/", "/api/v1/status") * 5:
        async with http.get(path) as response:
            assert response.status == 200
    assert simulator.calls.total() == before


async def test_an_error_has_its_next_step(simulator: Simulator, service: Service, http: ClientSession) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsDataSources"))
    await service.apply(config_on(simulator.url, refresh={"interval": "30s"}))
    await eventually(lambda: not build_report(service.status_input()).accounts[0].up)
    report = await status_of(http)
    assert not report["accounts"][0]["up"]
    (trouble,) = report["accounts"][0]["collectors"][0]["troubles"]
    assert trouble["reason"] == "permission"
    item = report["attention"][0]
    assert (item["severity"], item["hint"]) == ("critical", trouble["hint"])
    assert item["runbook"].endswith("/MmsPermissionRefused.md")
    (concerned,) = item["concerned"]
    assert (concerned["name"], concerned["commands"]) == ("test", ["mms-exporter check --account=test"])


async def test_figures_that_were_not_read_are_null_in_json_and_a_dash_on_the_page(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="SignatureDoesNotMatch"))
    service = Service(Telemetry())
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    async with (
        TestServer(application(service, "/metrics", None)) as server,
        ClientSession(server.make_url("/")) as http,
        http.get("/") as response,
    ):
        text = await response.text()
        report = await status_of(http)
    await service.close()
    assert (report["summary"].pop("accounts"), report["summary"].pop("accounts_up")) == (1, 0)
    assert set(report["summary"].values()) == {None}
    assert report["accounts"][0]["sources"] is None
    assert set(re.findall("<dd>(.*?)</dd>", text)) == {"—"}
    assert "— data sources" in text
    assert "No data sources" not in text
    assert "Databases were not read." in text
    assert "Jobs were not read." in text
    assert "Failed tables and partitions were not read." in text


def test_figures_are_0_if_an_account_has_no_data_sources() -> None:
    summary = report_on(account_of()).summary
    figures = (summary.sources, summary.agents_offline, summary.jobs_failed, summary.tables_failed)
    assert figures == (0, 0, 0, 0)


def test_totals_count_the_data_sources_that_are_known() -> None:
    stale = msgspec.structs.replace(source(1), stats=None, jobs=None)
    summary = report_on(account_of(stale)).summary
    assert (summary.sources, summary.sources_stale, summary.agents_offline, summary.jobs_failed) == (1, 1, None, None)
    summary = report_on(account_of(stale, source(2))).summary
    assert (summary.sources, summary.sources_stale, summary.agents_offline, summary.jobs_failed) == (2, 1, 0, 1)


async def test_a_failed_job_without_failures_in_its_scope_is_resolved(clock: ManualClock) -> None:
    world = World(WorldOptions(sources=1), clock=clock)
    (source_id,) = world.source_ids()
    apply_event(world, events.Fail(source_id=source_id, share=1.0))
    service = Service(Telemetry())
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        await service.apply(config_on(simulator.url, refresh={"interval": "1s"}))
        await eventually(lambda: {each.unresolved for each in failed_jobs(service, source_id)} == {True})
        table_ids = tuple(each.id for each in world.truth().tables(source_id))
        apply_event(world, events.Succeed(source_id=source_id, table_ids=table_ids))
        await eventually(lambda: {each.unresolved for each in failed_jobs(service, source_id)} == {False})
        report = build_report(service.status_input())
        await service.close()
    assert "Resolved" in page(report, "/metrics").decode()
    assert report.summary.jobs_resolved == report.summary.jobs_failed


def failed_jobs(service: Service, source_id: int) -> list[JobEntry]:
    """Return the failed jobs of a data source in the current report."""
    jobs = each_of(service)[source_id].jobs if source_id in each_of(service) else None
    return [each for each in jobs.listed if each.status == "FAILED"] if jobs is not None else []


async def test_an_account_without_a_refresh_is_awaited(simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="hang"))
    waiting = Service(Telemetry())
    await waiting.apply(config_on(simulator.url))
    report = build_report(waiting.status_input())
    await waiting.close()
    assert report.awaited_accounts == ("test",)
    assert (report.published_at, report.accounts) == (None, ())


def test_a_report_at_its_limits_matches_the_schema() -> None:
    name = SourceName("account", 1, "s")
    row = Table(id=1, db_name="db", name="t", status=TableStatus("NEW"), partitions=6, partitions_done=2, size=10)
    table = TableStats(name, row, 1.7e9)
    partition = PartitionStats(name, Partition(id=2, db_name="db", table_name="t", value="ds=1"), 1.7e9)
    full = account_of(
        with_failures(1, 3), with_databases(3, 2), msgspec.structs.replace(source(2), stats=None), troubles=(ERROR,)
    )
    watching = replace(full.accounts[0], tables=(table,), partitions=(partition,))
    report = msgspec.json.decode(msgspec.json.encode(report_on(Snapshot((watching,)))))
    jsonschema.validate(report, SCHEMA)
    assert len(report["watched_tables"]) == len(report["watched_partitions"]) == 1


def test_every_field_of_the_schema_is_documented() -> None:
    plain = {
        field
        for each in SCHEMA["$defs"].values()
        for field, shape in each["properties"].items()
        if "description" not in shape
    }
    assert not {field for field in plain if field.endswith(("omitted", "ratio", "listed", "named"))}
    assert all(each["description"] for each in SCHEMA["$defs"].values())


def test_stale_values_are_null_and_marked_as_stale() -> None:
    report = report_on(account_of(msgspec.structs.replace(source(1), stats=None, jobs=None)))
    (stale,) = report.sources
    assert stale.stale
    assert (stale.progress, stale.jobs, stale.tables.done, stale.status) == (None, None, None, None)
    assert "Values are stale" in titles(report)


def test_sources_that_need_attention_take_precedence() -> None:
    calm = snapshot(status.DEFAULT_LIMITS.sources).accounts[0].sources
    calm = tuple(quiet(each) for each in calm)
    report = report_on(account_of(*calm, msgspec.structs.replace(source(99_999), refreshed=False)))
    assert (len(report.sources), report.sources_omitted) == (status.DEFAULT_LIMITS.sources, 1)
    assert report.sources[-1].id == source(99_999).name.source_id
    assert report.summary.sources == status.DEFAULT_LIMITS.sources + 1


def quiet(each: SourceSnapshot) -> SourceSnapshot:
    """Return a data source without failures."""
    assert each.stats is not None
    row = msgspec.structs.replace(each.stats.row, tables_failed_num=0, partitions_failed_num=0)
    return msgspec.structs.replace(each, stats=msgspec.structs.replace(each.stats, row=row), jobs=None)


@pytest.mark.parametrize("sources", [1, 10, 1000])
def test_jobs_and_failures_are_limited_and_omitted_ones_counted(sources: int) -> None:
    report = report_on(account_of(*(with_failures(number, 100) for number in range(sources))))
    jobs = [each.jobs for each in report.sources if each.jobs is not None]
    failed = [each.failed_tables for each in report.sources if each.failed_tables is not None]
    assert sum(len(each.listed) for each in jobs) <= max(status.DEFAULT_LIMITS.jobs, sources)
    assert sum(len(each.named) for each in failed) <= max(status.DEFAULT_LIMITS.failures, sources)
    assert all(len(each.listed) + each.omitted == 8 for each in jobs), "seven run and one failed"
    assert all(1 <= len(each.named) <= status.DEFAULT_LIMITS.of_source for each in failed)
    assert all(len(each.named) + each.omitted == 100 for each in failed)


@pytest.mark.parametrize("sources", [1, 100, 2000])
def test_databases_are_limited_and_omitted_ones_counted(sources: int) -> None:
    report = report_on(account_of(*(with_databases(number, 30) for number in range(sources))))
    databases = [each.database_list for each in report.sources if each.database_list is not None]
    assert len(databases) == sources
    assert sum(len(each.listed) for each in databases) <= max(status.DEFAULT_LIMITS.databases, sources)
    assert all(1 <= len(each.listed) <= status.DEFAULT_LIMITS.of_source for each in databases)
    assert all(len(each.listed) + each.omitted == each.total == 35 for each in databases)
    assert f"{sum(each.omitted for each in databases):,} more databases are not shown" in page(report, "/m").decode()


def test_databases_that_are_not_done_come_first() -> None:
    (shown,) = report_on(account_of(with_databases(1, 6))).sources
    assert shown.database_list is not None
    assert [each.name for each in shown.database_list.listed] == ["db1", "db3", "db5", "db0", "db2", "db4"]


def test_a_count_of_a_database_that_mms_omits_is_null_and_a_dash() -> None:
    report = report_on(account_of(with_databases(1, 1)))
    (shown,) = msgspec.to_builtins(report.sources[0].database_list)["listed"]
    assert {shown[name] for name in ("progress", "size_bytes", "rows", "dst_project")} == {None}
    assert set(shown["tables"].values()) == {None}
    (row,) = re.findall(r'<tbody[^>]* id="databases".*?</tbody>', page(report, "/m").decode(), re.DOTALL)
    assert re.findall(r'class="number" data-value="(.*?)">(.*?)</td>', row) == [("", "—")] * 3
    assert "unknown" in row


@pytest.mark.parametrize("sources", [1, 100, 1000])
def test_schedules_are_limited_and_omitted_ones_counted(sources: int) -> None:
    report = report_on(account_of(*(with_timers(number, 30) for number in range(sources))))
    schedules = [each.schedules for each in report.sources if each.schedules is not None]
    assert len(schedules) == sources
    assert all(len(each.listed) <= status.DEFAULT_LIMITS.of_source for each in schedules)
    assert 20 <= sum(len(each.listed) for each in schedules) <= status.DEFAULT_LIMITS.schedules
    assert all(len(each.listed) + each.omitted == each.total == 35 for each in schedules)
    assert f"{sum(each.omitted for each in schedules):,} more schedules are not shown" in page(report, "/m").decode()


def test_late_schedules_come_first_and_a_stopped_source_has_none() -> None:
    started, stopped = report_on(
        account_of(with_timers(1, 3), with_timers(2, 3, status=DataSourceStatus.STOPPED))
    ).sources
    assert started.schedules is not None
    assert stopped.schedules is not None
    assert [(each.id, each.late) for each in started.schedules.listed] == [(0, True), (2, False), (1, False)]
    assert [(each.id, each.late) for each in stopped.schedules.listed] == [(2, False), (1, False), (0, False)]


def test_a_schedule_has_a_row_with_its_last_run_and_a_dash_without_one() -> None:
    html = page(report_on(account_of(with_timers(1, 2))), "/m").decode()
    (body,) = re.findall(r'<tbody[^>]* id="schedules".*?</tbody>', html, re.DOTALL)
    late, regular = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    assert "Late" in late
    assert "—" in late
    assert "Late" not in regular
    assert "DONE" in regular
    assert "HOURLY" in regular


def test_schedules_that_were_not_read_are_not_called_absent() -> None:
    assert "Schedules were not read." in page(report_on(account_of(source(1))), "/m").decode()
    assert "No schedules." in page(report_on(account_of(with_timers(1, 0))), "/m").decode()


def test_a_long_text_is_truncated() -> None:
    name = SourceName("account", 1, LONG)
    made = source(1)
    assert made.stats is not None
    row = msgspec.structs.replace(
        made.stats.row, status=DataSourceStatus(LONG), region=LONG, dst_projects=(LONG,) * 1000
    )
    report = report_on(
        account_of(
            msgspec.structs.replace(made, name=name, stats=msgspec.structs.replace(made.stats, name=name, row=row)),
            troubles=(replace(ERROR, about=LONG, message=LONG),),
        ),
        Load(1.7e9, problems=(LONG,)),
    )
    assert len(msgspec.json.encode(report)) < 20_000


def test_report_records_are_not_tracked_by_the_garbage_collector() -> None:
    report = report_on(account_of(with_databases(0, 1), *map(source, range(1, 3)), troubles=(ERROR,)))
    source_, job, databases = report.sources[0], report.sources[0].jobs, report.sources[0].database_list
    assert databases is not None
    records = (report, report.summary, report.accounts[0], source_, source_.tables, job, *report.attention)
    assert not any(map(gc.is_tracked, (*records, databases, databases.listed[0])))


def test_a_failed_reload_is_reported_with_its_reasons() -> None:
    report = report_on(account_of(), Load(1.7e9, problems=("accounts[0].region: is required",)))
    assert not report.configuration.last_load_successful
    assert report.configuration.problems == ("accounts[0].region: is required",)
    assert report.attention[0].concerned[0].name == "accounts[0].region: is required"


def test_a_shard_reports_its_index() -> None:
    status_input = StatusInput(account_of(source(1)), 1, 1.75e9, 1.7e9, LOADED, ())
    assert build_report(status_input).shard is None
    report = build_report(replace(status_input, shard=Shard(1, 3)))
    assert report.shard is not None
    assert (report.shard.index, report.shard.total) == (1, 3)
    assert b"Shard 1 of 3" in page(report, "/metrics")


def test_critical_items_come_first_and_objects_with_the_highest_count() -> None:
    report = report_on(account_of(*map(source, range(8)), troubles=(ERROR,)))
    assert [item.severity for item in report.attention] == sorted(item.severity for item in report.attention)
    failed = next(item for item in report.attention if item.title == "Tables or partitions failed")
    assert (len(failed.concerned), failed.omitted) == (5, 3)
    assert failed.concerned[0].count == 9, "2 tables and 7 partitions"


@pytest.mark.parametrize("runbook", sorted(RUNBOOKS))
def test_every_runbook_exists(runbook: str) -> None:
    assert (ROOT / "docs" / "runbooks" / f"{runbook}.md").is_file()
