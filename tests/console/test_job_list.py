"""`jobs` shows unfinished and failed jobs, newest first."""

import re

import pytest

from exporter.console.job_list import only_stopped
from exporter.errors import ConfigError
from exporter.mms.decoding import Page
from exporter.mms.models.records import Job
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.console.conftest import FIRST, Query, shown

UNFINISHED_OR_FAILED = {"INIT", "DOING", "FAILED"}


def ids(rows: list[dict[str, object]], source_id: int = FIRST) -> list[object]:
    """Return the shown job IDs of a source in order."""
    return [row["id"] for row in rows if row["source_id"] == source_id]


def truth(simulator: Simulator, statuses: set[str], source_id: int = FIRST) -> list[int]:
    """Return the IDs of a source's jobs, newest first."""
    return [job.id for job in simulator.world.truth().jobs(source_id) if job.status in statuses]


@pytest.mark.parametrize("source_id", [FIRST, FIRST + 1, FIRST + 4])
async def test_unfinished_and_failed_jobs_are_shown_newest_first(
    simulator: Simulator, query: Query, source_id: int
) -> None:
    assert ids((await query("jobs")).rows, source_id) == truth(simulator, UNFINISHED_OR_FAILED, source_id)


async def test_done_jobs_are_shown_on_request(simulator: Simulator, query: Query) -> None:
    assert ids((await query("jobs", statuses=["done"])).rows) == truth(simulator, {"DONE"})


async def test_each_status_costs_one_call_per_source(simulator: Simulator, query: Query) -> None:
    await query("jobs")
    assert simulator.calls["ListMmsJobs", FIRST] == 4, "and one for stopped jobs, which lists by status may omit"
    simulator.calls_reset()
    await query("jobs", statuses=["DONE"])
    assert simulator.calls["ListMmsJobs", FIRST] == 2


async def test_jobs_beyond_the_limit_are_counted(simulator: Simulator, query: Query) -> None:
    found = await query("jobs", statuses=["DONE"], sources=[str(FIRST)], limit=2)
    everything = truth(simulator, {"DONE"})
    assert ids(found.rows) == everything[:2]
    assert found.remarks == [f"{len(everything) - 2} more jobs of hive-sales-001"]


async def test_unfinished_jobs_take_precedence_under_the_limit(simulator: Simulator, query: Query) -> None:
    unfinished = truth(simulator, {"INIT", "DOING"})
    found = await query("jobs", statuses=["DOING", "INIT", "DONE"], sources=[str(FIRST)], limit=len(unfinished))
    assert set(ids(found.rows)) == set(truth(simulator, {"INIT", "DOING"}))


async def test_a_database_matches_exactly(simulator: Simulator, query: Query) -> None:
    job = truth(simulator, UNFINISHED_OR_FAILED)[0]
    apply_event(simulator.world, events.SetText(source_id=FIRST, job_id=job, field="srcDbName", text="sales_eu"))
    rows = (await query("jobs", databases=["sales"])).rows
    assert {row["src_db_name"] for row in rows} == {"sales"}
    assert ids((await query("jobs", databases=["sales_eu"])).rows) == [job]


async def test_a_table_matches_exactly_if_the_job_lists_its_tables(simulator: Simulator, query: Query) -> None:
    job = next(job for job in simulator.world.truth().jobs(FIRST) if job.status == "DOING" and job.type == "Tables")
    assert job.config is not None
    assert job.config.tables is not None
    assert job.id in ids((await query("jobs", tables=[job.config.tables[0]])).rows)
    for name in (job.config.tables[0][:-1], f"other.{job.config.tables[0]}"):
        with pytest.raises(ConfigError, match="no table is named"):
            await query("jobs", tables=[name], sources=[str(FIRST)])
    assert job.id in ids((await query("jobs", tables=[f"{job.src_db_name}.{job.config.tables[0]}"])).rows)


async def test_a_table_that_no_job_lists_leads_to_the_jobs_of_its_database(simulator: Simulator, query: Query) -> None:
    jobs = simulator.world.truth().jobs(FIRST)
    named = {(job.src_db_name, name) for job in jobs if job.config for name in job.config.tables or ()}
    table = next(row for row in simulator.world.truth().tables(FIRST) if (row.db_name, row.name) not in named)
    found = await query("jobs", tables=[f"{table.db_name}.{table.name}"], sources=[str(FIRST)])
    assert not found.rows
    (remark,) = found.remarks
    assert remark.startswith("no matching jobs; ")
    assert "`--database=NAME`" in remark


async def test_a_stopped_job_is_marked(simulator: Simulator, query: Query) -> None:
    job = truth(simulator, {"DOING"})[0]
    apply_event(simulator.world, events.StopJob(source_id=FIRST, job_id=job))
    found = await query("jobs", sources=[str(FIRST)])
    assert next(row["stopped"] for row in found.rows if row["id"] == job) is True
    assert "DOING (stopped)" in found.table()


async def test_an_unfinished_job_is_marked_overdue_after_its_eta(simulator: Simulator, query: Query) -> None:
    jobs = {status: truth(simulator, {status})[0] for status in ("DOING", "INIT", "DONE")}
    for status, number in jobs.items():
        eta = "2999-06-15" if status == "INIT" else "2025-06-14"
        apply_event(simulator.world, events.SetText(source_id=FIRST, job_id=number, field="eta", text=eta))
    options = {"sources": [str(FIRST)], "statuses": list(jobs)}
    for absolute_times in (False, True):
        table = (await query("jobs", **options, absolute_times=absolute_times)).table()
        (line,) = (line for line in table.splitlines() if "(overdue)" in line)
        assert f"  {jobs['DOING']}  " in line
        assert "DOING (overdue)" in line
    apply_event(simulator.world, events.StopJob(source_id=FIRST, job_id=jobs["DOING"]))
    assert "(overdue)" not in (await query("jobs", **options)).table()


@pytest.mark.parametrize(
    ("width", "absolute_times", "titles"),
    [
        (60, False, {"ETA", "CREATED"}),
        (80, False, {"ETA", "CREATED", "DATABASE"}),
        (81, False, {"ETA", "CREATED"}),
        (100, False, {"ETA", "CREATED", "DATABASE"}),
        (70, True, {"ETA"}),
        (100, True, {"ETA"}),
        (120, True, {"ETA", "CREATED"}),
    ],
)
async def test_the_times_of_jobs_are_hidden_last(
    simulator: Simulator, query: Query, width: int, titles: set[str], *, absolute_times: bool
) -> None:
    for job in simulator.world.truth().jobs(FIRST):
        eta = events.SetText(source_id=FIRST, job_id=job.id, field="eta", text="2025-06-15 12:00:00")
        apply_event(simulator.world, eta)
    found = await query("jobs", sources=[str(FIRST)], absolute_times=absolute_times)
    shown_titles = found.table(width).splitlines()[0].split()
    assert {"SOURCE", "ID", "JOB", "STATUS", *titles} <= set(shown_titles)
    assert "TO" not in shown_titles or {"ETA", "CREATED"} <= set(shown_titles)


@pytest.mark.parametrize("width", [40, 60, 80])
async def test_statuses_are_whole_on_a_narrow_terminal(simulator: Simulator, query: Query, width: int) -> None:
    """Columns about the scope are hidden before the name of the job is cut to a few characters."""
    for job in simulator.world.truth().jobs(FIRST):
        eta = events.SetText(source_id=FIRST, job_id=job.id, field="eta", text="2025-06-10 12:00:00")
        apply_event(simulator.world, eta)
    found = await query("jobs", sources=[str(FIRST)])
    lines = re.findall(r"^\S+ +\d+  .*", found.table(width), re.MULTILINE)
    assert any("DOING (overdue)" in line for line in lines)
    assert {word for line in lines for word in re.findall(r"[A-Z]{4,}…?", line)} <= {"DOING", "FAILED", "INIT"}
    names = [line.split()[2].rstrip("…") for line in lines]
    assert width == 40 or min(map(len, names)) >= 9, "and the sign of the cut"


async def test_a_column_without_a_text_takes_no_room(simulator: Simulator, query: Query) -> None:
    for job in simulator.world.truth().jobs(FIRST):
        apply_event(simulator.world, events.SetText(source_id=FIRST, job_id=job.id, field="eta", text=""))
    table = (await query("jobs", sources=[str(FIRST)])).table(55)
    assert "CREATED" in table.splitlines()[0]
    assert "ETA" not in table


async def test_an_unreadable_source_hides_no_other(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", source_id=FIRST))
    found = await query("jobs")
    assert ids(found.rows) == []
    assert ids(found.rows, FIRST + 1) == truth(simulator, UNFINISHED_OR_FAILED, FIRST + 1)
    assert not found.report.succeeded
    (line,) = found.remarks
    assert line.startswith("account test, hive-sales-001: ListMmsJobs failed (status 403, code NoPermission")
    assert "grant this identity" in line


async def test_an_error_of_all_sources_is_printed_once(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsJobs"))
    (line,) = (await query("jobs")).remarks
    assert ", hive-sales-001, maxcompute-finance-006 and 1 more: " in line


@pytest.mark.parametrize("command", ["jobs", "sources"])
async def test_absolute_times_are_shown_on_request(simulator: Simulator, query: Query, command: str) -> None:
    job = next(simulator.world.truth().jobs(FIRST))
    for field, text in (("createTime", "2025-06-15 23:35:02"), ("eta", "2025-06-20")):
        apply_event(simulator.world, events.SetText(source_id=FIRST, job_id=job.id, field=field, text=text))
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="lastUpdateTime", text="2025-06-15 23:35:02"))
    found = await query(command, sources=[str(FIRST)], absolute_times=True)
    table = found.table()
    assert "2025-06-15T23:35:02+08:00" in table
    assert ("2025-06-20" in table) == (command == "jobs")
    assert command == "jobs" or "2025-06-15T23:35:02+08:00" in found.table(80), "it has no other column with a time"
    assert "ago" not in table
    assert "ago" in (await query(command, sources=[str(FIRST)])).table()


@pytest.mark.parametrize("hides_stopped", [False, True])
@pytest.mark.parametrize("limit", [100, 1])
async def test_stopped_jobs_are_shown_whether_or_not_lists_by_status_omit_them(
    *, hides_stopped: bool, limit: int
) -> None:
    options = WorldOptions(sources=1, special_sources=False, stopped_share=1.0, hides_stopped=hides_stopped)
    async with Simulator(World(options, clock=ManualClock()), identities=[IDENTITY]) as simulator:
        found = await shown("jobs", config_on(simulator.url), limit=limit, statuses=["INIT", "DOING"])
        expected = truth(simulator, {"INIT", "DOING"})
        stopped = [job.id for job in simulator.world.truth().jobs(FIRST) if job.stopped]
    assert stopped
    if limit == 100:
        assert ids(found.rows) == expected
        assert [row["id"] for row in found.rows if row["stopped"]] == stopped
        assert found.remarks == []
    else:
        assert ids(found.rows) == expected[:1]
        assert re.fullmatch(r"(up to )?\d+ more jobs of .*", found.remarks[0])


def test_a_list_whose_filter_was_ignored_ends_at_its_first_page() -> None:
    """Otherwise the whole history would be read."""
    running, stopped = Job(id=2, stopped=False), Job(id=1, stopped=True)
    assert only_stopped(Page((running, stopped), 10_000)) == Page((stopped,), 1)
    assert only_stopped(Page((stopped,), 10_000)) == Page((stopped,), 10_000)


def resolution_of(rows: list[dict[str, object]]) -> dict[object, object]:
    """Return whether each failed job is resolved."""
    return {row["id"]: row["resolved"] for row in rows if row["status"] == "FAILED"}


async def test_a_failed_job_is_resolved_when_nothing_in_its_scope_is_failed() -> None:
    world = World(WorldOptions(sources=1, special_sources=False), clock=ManualClock())
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        oracle = world.truth()
        tables = [row for row in oracle.tables(FIRST) if row.status == "FAILED"]
        partitions = [row for row in oracle.partitions(FIRST) if row.status == "FAILED"]
        before = await shown("jobs", config_on(simulator.url))
        calls = {name: simulator.calls[name, FIRST] for name in ("ListMmsTables", "ListMmsPartitions")}
        fix = events.Succeed(
            source_id=FIRST,
            table_ids=tuple(row.id for row in tables),
            partition_ids=tuple(row.id for row in partitions),
        )
        apply_event(world, fix)
        after = await shown("jobs", config_on(simulator.url))
        (number, *_) = (row["id"] for row in after.rows if row["status"] == "FAILED")
        one = await shown("show", config_on(simulator.url), record=("job", number))
        apply_event(world, events.Fail(source_id=FIRST, share=1.0))
        again = await shown("jobs", config_on(simulator.url))
        jobs = {job.id: job for job in oracle.jobs(FIRST) if job.status == "FAILED"}
    assert tables or partitions
    assert set(calls.values()) == {1}
    failed = {(row.db_name, row.name) for row in tables} | {(row.db_name, row.table_name) for row in partitions}
    for number, is_resolved in resolution_of(before.rows).items():
        job = jobs[int(str(number))]
        assert job.config is not None
        assert job.config.tables or job.config.partitions
        named = {(job.src_db_name, name) for name in job.config.tables or ()}
        failed_ids = {row.id for row in partitions}
        assert is_resolved == (failed.isdisjoint(named) and failed_ids.isdisjoint(job.config.partitions or ()))
    assert set(resolution_of(after.rows).values()) == {True}
    assert "FAILED (resolved)" in after.table()
    assert after.table(40).count("FAILED (resolved)") == after.table().count("(resolved)"), "statuses are whole"
    assert re.search(r"^status +FAILED \(resolved\)$", one.table(), re.MULTILINE)
    assert one.rows[0]["resolved"] is True
    assert set(resolution_of(again.rows).values()) == {False, None}, "unclear beyond the first page of failures"
    assert {row["resolved"] for row in after.rows if row["status"] != "FAILED"} <= {None}


async def test_without_permission_to_list_failures_resolution_is_unknown() -> None:
    world = World(WorldOptions(sources=1, special_sources=False), clock=ManualClock())
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsTables"))
        found = await shown("jobs", config_on(simulator.url), statuses=["FAILED"])
    assert found.report.succeeded
    assert set(resolution_of(found.rows).values()) == {None}


async def test_the_shown_database_can_be_given_to_the_filter(simulator: Simulator, query: Query) -> None:
    job = truth(simulator, UNFINISHED_OR_FAILED)[0]
    assert "SCHEMA" not in (await query("jobs", sources=[str(FIRST)])).table().splitlines()[0]
    apply_event(simulator.world, events.SetText(source_id=FIRST, job_id=job, field="srcSchemaName", text="public"))
    found = await query("jobs", sources=[str(FIRST)])
    titles, *lines = found.table().splitlines()
    at = titles.index("DATABASE")
    (line,) = (each for each in lines if f"  {job}  " in each)
    database, schema = line[at : titles.index("TO")].split()
    assert schema == "public"
    assert job in ids((await query("jobs", databases=[database])).rows)
