"""`report` says what MMS says, names what it could not read, and its documents are safe, valid and bounded."""

import asyncio
import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest
from markdown_it import MarkdownIt

from exporter.clock import Clock
from exporter.console.output.command_report import CommandReport
from exporter.console.output.printing import Output, printed
from exporter.console.output.terminal import OutputStyle
from exporter.console.report.command import CSV_FIELDS, report
from exporter.console.report.document import UNKNOWN
from exporter.console.selection.queries import Options
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.console.conftest import FIRST
from tests.console.test_queries import LOSABLE
from tests.processes import run, write_config
from tests.programs import ROOT

GOLDEN = ROOT / "tests" / "golden" / "report.md"
CANARY = "canary7f3a"
HOSTILE = (
    '<script>alert("1")</script>|`a` **b** [x](http://e.example) ![i](//e) &amp; www.e.example _c_ \x1b[31m\u202e#'
)
PARTS = {
    "ListMmsDbs": "databases",
    "ListMmsJobs": "jobs",
    "ListMmsTasks": "tasks",
    "ListMmsTaskLogs": "failures",
    "ListMmsPartitions": "failures",
    "ListMmsTimers": "schedules",
    "ListMmsTimerLogs": "schedules",
}


EMPTY = {
    **dict.fromkeys(("tableNum", "tablesDoingNum", "tablesDoneNum", "tablesPartDoneNum", "tablesFailedNum"), 0),
    **dict.fromkeys(("partitionNum", "partitionsDoingNum", "partitionsDoneNum", "partitionsFailedNum"), 0),
    "lastUpdateTime": "2025-06-01 00:00:00",
}
"""Counters of a data source whose metadata scan found nothing."""
FORMATS: tuple[Output, ...] = ("md", "html", "json", "csv")


@dataclass(frozen=True)
class Printed:
    """A report in each format."""

    result: CommandReport[Any]

    def text(self, output: Output, width: int | None = None) -> str:
        """Return one format."""
        return printed(self.result, output, OutputStyle(width)).decode()

    @property
    def record(self) -> dict[str, Any]:
        """The JSON output."""
        found: dict[str, Any] = json.loads(self.text("json"))
        return found

    @property
    def source(self) -> dict[str, Any]:
        """The only data source."""
        (found,) = self.record["sources"]
        return dict(found)


Report = Callable[..., Awaitable[Printed]]


class Tags(HTMLParser):
    """Checks that each element is closed, and collects the elements and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.text += data


async def reported(simulator: Simulator, clock: ManualClock, **options: Any) -> Printed:
    """Return the report on a simulation."""
    return Printed(await report(config_on(simulator.url), Options(**options), Clock(wall=clock)))


@pytest.fixture
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Provide a simulation in which many tasks fail."""
    options = WorldOptions(
        sources=2, databases=3, tables=30, partitions=6, timers=2, failure_rate=0.3, special_sources=False
    )
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as running:
        clock.advance(3600)
        yield running


@pytest.fixture
def ask(simulator: Simulator, clock: ManualClock) -> Report:
    """Provide a function that reports the first data source."""

    async def ask(**options: Any) -> Printed:
        return await reported(simulator, clock, sources=[str(FIRST)], **options)

    return ask


async def test_the_record_has_the_values_of_mms(simulator: Simulator, ask: Report) -> None:
    found = await ask()
    assert (found.result.succeeded, found.record["is_complete"], [*found.result.remarks()]) == (True, True, [])
    source, truth = found.source, simulator.world.truth()
    tables, partitions = list(truth.tables(FIRST)), list(truth.partitions(FIRST))
    statuses: dict[str, list[str | None]] = {
        "tables": [row.status for row in tables],
        "partitions": [row.status for row in partitions],
    }
    for name, rows in statuses.items():
        counts, shown = Counter(rows), source["scope"][name]
        assert (shown["total"], shown["done"], shown["failed"]) == (len(rows), counts["DONE"], counts["FAILED"])
        assert shown["left"] == counts["INIT"] + counts["DOING"]
    databases = list(truth.databases(FIRST))
    assert source["databases"]["size"] == sum(row.size or 0 for row in databases)
    assert source["databases"]["num_rows"] == sum(row.num_rows or 0 for row in databases)
    assert [row["id"] for row in source["databases"]["listed"]] == [
        row.id for row in sorted(databases, key=lambda row: row.size_rank)
    ]
    jobs, tasks = list(truth.jobs(FIRST)), list(truth.tasks(FIRST))
    assert (source["jobs"]["total"], source["tasks"]["total"]) == (len(jobs), len(tasks))
    assert source["jobs"]["by_status"] == Counter(job.status for job in jobs)
    assert source["tasks"]["by_status"] == Counter(task.status for task in tasks)
    assert source["tasks"]["retried"] == sum(bool(task.retried_times) for task in tasks)
    assert source["failures"]["count"] == sum(rows.count("FAILED") for rows in statuses.values())
    assert source["failures"]["count"] == sum(row["count"] for row in source["failures"]["groups"])


async def test_each_part_says_when_it_was_read(ask: Report) -> None:
    source = (await ask()).source
    parts = [part for part in source.values() if isinstance(part, dict)]
    assert len(parts) >= len(set(PARTS.values())) + 1
    assert {part["read_at"] for part in parts} == {"2025-06-16T00:06:40+08:00"}


async def test_the_duration_is_that_of_the_jobs(simulator: Simulator, ask: Report) -> None:
    source, truth = (await ask()).source, simulator.world.truth()
    first = min(job.create_time or "" for job in truth.jobs(FIRST))
    last = max(task.end_time or "" for task in truth.tasks(FIRST) if task.status == "DONE")
    assert source["jobs"]["first_created"][:19].replace("T", " ") == first
    assert source["tasks"]["last_done"][:19].replace("T", " ") == last
    assert source["duration_seconds"] > 0


@pytest.mark.parametrize("operation", PARTS)
async def test_a_denied_operation_hides_its_part_only(simulator: Simulator, ask: Report, operation: str) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation=operation))
    found = await ask()
    source = found.source
    assert (found.result.succeeded, found.record["is_complete"]) == (False, False)
    assert any(f"odps:{operation}" in remark for remark in found.result.remarks())
    unread = {each["part"] for each in source["not_read"]}
    assert PARTS[operation] in unread
    assert all(f"odps:{operation}" in each["hint"] for each in source["not_read"])
    assert f"Not read: {PARTS[operation]} (permission)." in source["open_points"]
    assert {name for name in (*PARTS.values(), "outdated") if source[name] is None} | {"failures"} == unread | {
        "failures"
    }
    failures = source["failures"]
    assert failures is None or (failures["examined"] < failures["count"]) == ("failures" in unread)
    for output in FORMATS[:2]:
        assert f"odps:{operation}" in found.text(output)


async def test_an_account_that_cannot_be_read_is_named(simulator: Simulator, clock: ManualClock) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsDataSources"))
    found = await reported(simulator, clock)
    assert not found.result.succeeded
    assert [each["part"] for each in found.record["not_read"]] == ["account test"]
    assert "odps:ListMmsDataSources" in found.text("md")


async def test_a_missing_value_is_never_0(simulator: Simulator, ask: Report) -> None:
    for operation in ("ListMmsDataSources", "ListMmsDbs", "ListMmsTasks"):
        fields = ("tablesFailedNum", "partitionsDoneNum", "size", "numRows", "tablesFailed", "retriedTimes")
        simulator.faults.add(Fault(kind="missing", operation=operation, fields=fields))
    found = await ask()
    source = found.source
    assert (source["scope"]["tables"]["failed"], source["scope"]["tables"]["left"]) == (None, None)
    assert (source["databases"]["size"], source["databases"]["incomplete"]) == (None, source["databases"]["total"])
    assert source["tasks"]["retried"] is None
    assert "MMS did not return all counts of tables and partitions." in source["open_points"]
    text = found.text("md")
    assert f"| Partitions | {source['scope']['partitions']['total']} | {UNKNOWN} |" in text
    assert f"**At the source:** {UNKNOWN}, {UNKNOWN} rows" in text


@pytest.mark.parametrize("kind", ["nulls", "missing", "wrong_types"])
async def test_rows_with_only_an_id_are_shown(
    simulator: Simulator, ask: Report, kind: Literal["nulls", "missing", "wrong_types"]
) -> None:
    simulator.faults.add(Fault(kind=kind, fields=LOSABLE))
    found = await ask()
    assert found.result.succeeded
    for output in FORMATS:
        assert "None" not in found.text(output).replace("None: ", "")
    assert found.source["scope"]["tables"] == dict.fromkeys(("total", "done", "part_done", "failed", "left"))


async def test_outdated_partitions_are_listed(simulator: Simulator, ask: Report) -> None:
    assert (await ask()).source["outdated"]["partitions"] == 0
    done = [row for row in simulator.world.truth().partitions(FIRST) if row.status == "DONE"][:3]
    apply_event(simulator.world, events.Change(source_id=FIRST, partition_ids=tuple(row.id for row in done)))
    found = await ask(limit=2)
    outdated = found.source["outdated"]
    assert (outdated["partitions"], len(outdated["listed"])) == (len(done), 2)
    assert "Outdated, because the source changed after the migration: 3 partitions." in found.source["open_points"]
    assert "Shown: 2 of 3 partitions." in found.text("md")


async def test_a_filter_that_mms_ignores_counts_nothing(simulator: Simulator, ask: Report) -> None:
    row = {"id": 1, "dbName": "sales", "tableName": "orders", "value": "a=1", "updated": False, "status": "DONE"}
    text = json.dumps({"data": {"objectList": [row], "total": 7}})
    simulator.faults.add(Fault(kind="answer", operation="ListMmsPartitions", query={"updated": "true"}, text=text))
    outdated = (await ask()).source["outdated"]
    assert (outdated["partitions"], outdated["listed"]) == (None, [])


async def test_rows_without_the_mark_of_the_filter_count_nothing(simulator: Simulator, ask: Report) -> None:
    done = next(row for row in simulator.world.truth().partitions(FIRST) if row.status == "DONE")
    apply_event(simulator.world, events.Change(source_id=FIRST, partition_ids=(done.id,)))
    simulator.faults.add(Fault(kind="missing", operation="ListMmsPartitions", fields=("updated",)))
    outdated = (await ask()).source["outdated"]
    assert (outdated["partitions"], outdated["listed"]) == (None, [])


@pytest.fixture
async def scheduled(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Provide a simulation of hourly timers, one of which is stopped."""
    options = WorldOptions(
        sources=1,
        tables=6,
        untouched_share=1.0,
        running_jobs_per_source=0,
        finished_jobs_per_source=0,
        special_sources=False,
    )
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as running:
        for name in ("active", "stopped"):
            number = apply_event(
                running.world,
                events.CreateTimer(
                    source_id=FIRST, database="sales", name=name, schedule_type="Hourly", value="30", failure_rate=0.0
                ),
            )
        apply_event(running.world, events.StopTimer(source_id=FIRST, timer_id=number))
        yield running


async def test_schedules_say_when_they_ran(scheduled: Simulator, clock: ManualClock) -> None:
    clock.advance(150 * 3600)  # more logs than a page has
    source = (await reported(scheduled, clock)).source
    rows = {row["name"]: row for row in source["schedules"]["listed"]}
    runs = [(row["last_run"], row["last_run_status"], row["is_missed"]) for row in rows.values()]
    assert dict(zip(rows, runs, strict=True)) == {
        "active": ("2025-06-22T04:30:00+08:00", "DONE", False),
        "stopped": (None, None, False),
    }
    assert "Schedules that are stopped: 1 of 2." in source["open_points"]
    assert scheduled.calls["ListMmsTimerLogs", FIRST] == 2


async def test_a_log_that_cannot_be_read_hides_no_other_schedule(scheduled: Simulator, clock: ManualClock) -> None:
    clock.advance(2 * 3600)
    scheduled.faults.add(Fault(kind="error", status=404, code="NotFound", operation="ListMmsTimerLogs", times=1))
    found = await reported(scheduled, clock)
    rows = {row["name"]: row for row in found.source["schedules"]["listed"]}
    unread = [name for name, row in rows.items() if not row["is_read"]]
    assert (len(rows), len(unread)) == (2, 1)
    assert [each["part"] for each in found.source["not_read"]] == [f"log of schedule {unread[0]}"]
    assert any(each.startswith(f"Not read: log of schedule {unread[0]} (") for each in found.source["open_points"])
    assert found.record["is_complete"] is False


async def test_schedules_beyond_the_limit_are_not_called_read(scheduled: Simulator, clock: ManualClock) -> None:
    assert (await reported(scheduled, clock)).record["is_complete"] is True
    assert (await reported(scheduled, clock, limit=1)).record["is_complete"] is False


async def test_a_skip_is_no_run(scheduled: Simulator, clock: ManualClock) -> None:
    apply_event(scheduled.world, events.CreateJob(source_id=FIRST, database="sales", seconds=86400))
    clock.advance(4 * 3600)
    found = await reported(scheduled, clock)
    row = next(row for row in found.source["schedules"]["listed"] if row["name"] == "active")
    assert (row["last_run"], row["last_skip"], row["is_missed"]) == (None, "2025-06-16T02:30:00+08:00", True)
    assert "Schedules past their due time: 1 of 2." in found.source["open_points"]
    assert "| none | 2025-06-16 02:30 |" in found.text("md")


async def test_a_failed_run_is_an_open_point(scheduled: Simulator, clock: ManualClock) -> None:
    log = {"id": 1, "status": "FAILED", "createTime": "2025-06-15 23:30:00", "action": "start job", "msg": "failed"}
    text = json.dumps({"data": {"objectList": [log], "total": 1}})
    scheduled.faults.add(Fault(kind="answer", operation="ListMmsTimerLogs", text=text))
    clock.advance(3600)
    assert "Schedules whose last run FAILED: 2 of 2." in (await reported(scheduled, clock)).source["open_points"]


async def test_nothing_migrated_yet(clock: ManualClock) -> None:
    options = WorldOptions(
        sources=1, finished_jobs_per_source=0, running_jobs_per_source=0, untouched_share=1.0, special_sources=False
    )
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        found = await reported(simulator, clock)
        source = found.source
        tables, partitions = source["scope"]["tables"]["total"], source["scope"]["partitions"]["total"]
        assert source["open_points"] == [
            f"Not migrated yet, without failed ones: {tables} tables and {partitions} partitions."
        ]
        assert (source["jobs"]["total"], source["failures"]["count"], source["duration_seconds"]) == (0, 0, None)
        assert ("ListMmsTaskLogs", FIRST) not in simulator.calls
        for text in (f"**Duration:** {UNKNOWN}", "**By status:** none", "There are no tasks."):
            assert text in found.text("md")


async def test_an_empty_inventory_is_unknown_until_it_was_scanned(clock: ManualClock) -> None:
    async with Simulator(World(WorldOptions(sources=6), clock=clock), identities=[IDENTITY]) as simulator:
        rows = simulator.world.truth().data_sources().values()
        (unscanned,) = [row.id for row in rows if row.last_update_time is None]
        assert f"**Progress: {UNKNOWN}**" in (await reported(simulator, clock, sources=[str(unscanned)])).text("md")
        body = f'{{"data": {{"total": 1, "objectList": [{json.dumps({**EMPTY, "id": unscanned})}]}}}}'
        simulator.faults.add(Fault(kind="answer", operation="ListMmsDataSources", text=body))
        assert "**Progress: nothing to migrate**" in (await reported(simulator, clock)).text("md")


@pytest.mark.parametrize("status", ["STOPPED", "START_FAILED"])
async def test_a_data_source_that_does_not_run_is_an_open_point(
    simulator: Simulator, clock: ManualClock, status: str
) -> None:
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="status", text=status))
    apply_event(simulator.world, events.SetAgent(source_id=FIRST, online=False))
    points = (await reported(simulator, clock, sources=[str(FIRST)])).source["open_points"]
    assert {f"The data source is {status}.", "The agent is OFFLINE."} <= set(points)


async def test_a_data_source_may_be_stopped_when_everything_is_done(done: Simulator, clock: ManualClock) -> None:
    apply_event(done.world, events.SetText(source_id=FIRST, field="status", text="STOPPED"))
    apply_event(done.world, events.SetAgent(source_id=FIRST, online=False))
    assert (await reported(done, clock)).source["open_points"] == []


@pytest.fixture
async def done(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Provide a simulation in which everything is DONE."""
    options = WorldOptions(sources=1, tables=8, failure_rate=0.0, waves=1, untouched_share=0.0, stopped_share=0.0)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as running:
        clock.advance(86400)
        tables = [row.id for row in running.world.truth().tables(FIRST)]
        apply_event(running.world, events.Succeed(source_id=FIRST, table_ids=tuple(tables)))
        timer = events.CreateTimer(source_id=FIRST, database="sales", name="hourly", schedule_type="Hourly", value="30")
        apply_event(running.world, timer)
        yield running


async def test_everything_done_has_no_open_points(done: Simulator, clock: ManualClock) -> None:
    found = await reported(done, clock)
    assert found.source["open_points"] == []
    assert "None: everything in the inventory is DONE." in found.text("md")


@pytest.mark.parametrize(
    ("operation", "field", "point"),
    [
        ("ListMmsJobs", "stopped", "MMS did not return the number of stopped jobs."),
        ("ListMmsDataSources", "scanStatus", "MMS did not return the status of the last metadata scan."),
        ("ListMmsTimers", "stopped", "Schedules of which MMS did not return the state or the due time: 1 of 1."),
        ("ListMmsTimers", "value", "Schedules of which MMS did not return the state or the due time: 1 of 1."),
    ],
)
async def test_an_unknown_value_is_an_open_point(
    done: Simulator, clock: ManualClock, operation: str, field: str, point: str
) -> None:
    done.faults.add(Fault(kind="missing", operation=operation, fields=(field,)))
    found = await reported(done, clock)
    assert found.source["open_points"] == [point]
    assert "everything in the inventory is DONE" not in found.text("md")


async def test_an_unknown_number_of_outdated_partitions_is_an_open_point(done: Simulator, clock: ManualClock) -> None:
    text = '{"data": {"objectList": []}}'
    done.faults.add(Fault(kind="answer", operation="ListMmsPartitions", query={"updated": "true"}, text=text))
    found = await reported(done, clock)
    assert found.source["open_points"] == ["MMS did not return the number of outdated partitions."]


@pytest.mark.parametrize("name", ["MIN_LIMIT", "MAX_LOGS"])
async def test_failures_beyond_a_limit_are_not_called_read(
    ask: Report, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = (await ask()).source["failures"]
    monkeypatch.setattr(f"exporter.console.failed_why.{name}", 3)
    found = await ask(limit=3)
    part, text = found.source["failures"], found.text("md")
    assert (found.record["is_complete"], part["count"]) == (False, whole["count"])
    assert part["examined"] < whole["examined"] == whole["count"]
    assert f"Failed tables and partitions: {part['count']}." in text
    assert f"Failures were examined: {part['examined']} of {part['count']}." in text
    assert "**Everything was read:** no" in text
    assert "Read in part: failures." in text
    assert any(part["omitted"] in remark for remark in found.result.remarks())


async def test_a_broken_log_hides_no_other(simulator: Simulator, ask: Report) -> None:
    simulator.faults.add(Fault(kind="error", status=400, code="Broken", operation="ListMmsTaskLogs", times=1))
    found = await ask()
    source = found.source
    assert not found.result.succeeded
    assert [(each["part"], each["reason"]) for each in source["not_read"]] == [("failures", "rejected")]
    assert len(source["failures"]["groups"]) > 2
    assert source["failures"]["examined"] < source["failures"]["count"]


async def test_a_retry_closes_the_open_points_of_failures(clock: ManualClock, tmp_path: Path) -> None:
    options = WorldOptions(sources=1, tables=12, failure_rate=0.4, waves=1, untouched_share=0.0, stopped_share=0.0)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        clock.advance(86400)
        before = (await reported(simulator, clock)).source
        assert before["failures"]["count"] > 0
        assert any(each.startswith("Failed: ") for each in before["open_points"])
        words = (f"--config.file={write_config(tmp_path, simulator.url)}", f"--source={FIRST}", "--failed", "--yes")
        retrying = asyncio.create_task(run("retry", *words, environment={"XDG_STATE_HOME": str(tmp_path)}))
        while not (await asyncio.wait([retrying], timeout=0.2))[0]:
            clock.advance(20)  # MMS takes 15 s to create a job
        ended = await retrying
        assert ended.code == 0, ended.err
        clock.advance(86400)
        after = (await reported(simulator, clock)).source
        assert after["failures"]["count"] == 0
        assert not any(each.startswith("Failed") for each in after["open_points"])
        assert after["jobs"]["retries"] > 0
        assert {row["resolved"] for row in after["jobs"]["listed"] if row["status"] == "FAILED"} == {True}


@pytest.fixture
def hostile(simulator: Simulator) -> Simulator:
    """Provide a simulation with hostile names and messages."""
    apply_event(simulator.world, events.RenameSource(source_id=FIRST, name=HOSTILE))
    message = f"{HOSTILE} jdbc:hive2://mms:{CANARY}@h:1/d?password={CANARY}"
    for field, text, place in (
        ("name", HOSTILE, {"database_id": 1}),
        ("name", HOSTILE, {"job_id": next(iter(simulator.world.truth().jobs(FIRST))).id}),
        ("msg", message, {"task_id": 0}),
        ("name", HOSTILE, {"timer_id": 1}),
        ("msg", message, {"timer_id": 1}),
        ("networklink", message, {}),
        ("createTime", message, {}),
    ):
        apply_event(simulator.world, events.SetText(source_id=FIRST, field=field, text=text, **place))
    return simulator


@pytest.mark.usefixtures("hostile")
async def test_html_with_hostile_names_has_no_markup_of_theirs(ask: Report) -> None:
    text = (await ask()).text("html")
    page = Tags(text)
    assert text.startswith("<!DOCTYPE html>")
    assert not set(page.tags) & {"script", "b", "img", "a", "link", "iframe"}
    assert set(page.attributes) <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "tabindex"}
    assert '<script>alert("1")</script>|`a` **b**' in page.text
    assert (CANARY in text, "\x1b" in text, "\u202e" in text) == (False, False, False)


@pytest.mark.usefixtures("hostile")
async def test_markdown_with_hostile_names_has_no_markup_of_theirs(ask: Report) -> None:
    text = (await ask()).text("md")
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [child for block in blocks for child in block.children or ()]
    assert {each.type for each in inline} <= {
        "text",
        "text_special",
        "strong_open",
        "strong_close",
        "em_open",
        "em_close",
    }
    assert not {each.type for each in blocks} & {"html_block", "fence", "code_block", "hr", "blockquote_open"}
    cells = ["".join(child.content for child in block.children or ()) for block in blocks if block.type == "inline"]
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert shown in cells
    assert f"Data source {shown}" in cells
    assert (CANARY in text, "\x1b" in text, "\u202e" in text) == (False, False, False)


@pytest.mark.usefixtures("hostile")
async def test_json_and_csv_have_the_names_and_no_secret(ask: Report) -> None:
    found = await ask()
    assert found.source["source"] == HOSTILE
    rows = list(csv.DictReader(io.StringIO(found.text("csv"), newline="")))
    assert HOSTILE in {row["name"] for row in rows}
    for output in FORMATS[2:]:
        assert CANARY not in found.text(output)
        assert "\x1b" not in found.text(output, 80)


async def test_csv_is_one_table_of_databases(ask: Report) -> None:
    found = await ask()
    rows = list(csv.DictReader(io.StringIO(found.text("csv"), newline="")))
    assert list(rows[0]) == [field.name for field in CSV_FIELDS]
    assert [row["name"] for row in rows] == [row["name"] for row in found.source["databases"]["listed"]]
    assert {row["read_at"] for row in rows} == {found.source["databases"]["read_at"]}


async def test_lists_that_are_cut_name_their_total(ask: Report) -> None:
    found = await ask(limit=1)
    source, text = found.source, found.text("md")
    for part in ("databases", "jobs"):
        assert len(source[part]["listed"]) == 1
        assert f"Shown: 1 of {source[part]['total']} {part}." in text
    assert f"Shown: 1 of {len(source['failures']['groups'])} groups." in text
    more = source["databases"]["total"] - 1
    assert [*found.result.remarks()] == [f"{more} more databases of hive-sales-001"]
    assert found.result.succeeded


async def test_several_sources_have_a_summary(simulator: Simulator, clock: ManualClock) -> None:
    found = await reported(simulator, clock)
    assert [each["source_id"] for each in found.record["sources"]] == [FIRST + 1, FIRST]
    assert Tags(found.text("html")).tags["h2"] == len(simulator.world.source_ids())
    assert "**Data sources**" in found.text("md")


async def test_many_jobs_and_tasks_are_counted_by_few_calls(clock: ManualClock) -> None:
    options = WorldOptions(sources=1, finished_jobs_per_source=400, failure_rate=0.1, special_sources=False)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        found = await reported(simulator, clock)
        source, text = found.source, found.text("md")
        jobs, tasks = list(simulator.world.truth().jobs(FIRST)), list(simulator.world.truth().tasks(FIRST))
        assert len(tasks) > source["tasks"]["examined"] == 1000
        assert "+08:00 (of the newest 1,000 tasks)" in text
        assert "Read in part: jobs, tasks." in text
        assert re.search(r"\*\*Duration:\*\* .*:\d\d \(of the newest 1,000 tasks\)", text)
        assert (found.result.succeeded, found.record["is_complete"]) == (True, False)
        assert source["jobs"]["total"] == len(jobs) > 400
        assert {name: count for name, count in source["jobs"]["by_status"].items() if count} == Counter(
            job.status for job in jobs
        )
        assert source["tasks"]["by_status"] == Counter(task.status for task in tasks)
        oldest = min(job.create_time or "" for job in jobs)
        assert source["jobs"]["first_created"][:19].replace("T", " ") == oldest
        assert simulator.calls["ListMmsJobs", FIRST] <= 7
        assert simulator.calls["ListMmsTasks", FIRST] <= 25 + 30
        assert simulator.calls["ListMmsDbs", FIRST] == 1


@pytest.mark.scale
async def test_100_000_failed_partitions_stay_bounded(clock: ManualClock) -> None:
    options = WorldOptions(sources=1, databases=2, tables=1000, partitions=150, special_sources=False)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
        found = await reported(simulator, clock)
        assert found.source["scope"]["partitions"]["failed"] > 100_000
        assert "more failed partitions" in found.source["failures"]["omitted"]
        assert len(found.text("md")) < 1_000_000
        assert len(found.text("json")) < 5_000_000
        assert simulator.calls["ListMmsPartitions", FIRST] <= 110


async def test_the_markdown_of_a_fixed_world(ask: Report) -> None:
    """UPDATE_GOLDEN=1 rewrites the file."""
    text = (await ask(limit=8)).text("md")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert GOLDEN.read_text(encoding="utf-8") == text


async def test_the_command_prints_and_ends_with_its_exit_code(simulator: Simulator, tmp_path: Path) -> None:
    config = f"--config.file={write_config(tmp_path, simulator.url)}"
    ended = await run("report", config, f"--source={FIRST}")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("# Migration report\n")
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsDbs"))
    ended = await run("report", config, f"--source={FIRST}", "--output=json")
    assert ended.code == 1
    assert json.loads(ended.out)["sources"][0]["databases"] is None
    assert "odps:ListMmsDbs" in ended.err
    ended = await run("report", config, "--output=table")
    assert (ended.code, ended.out) == (2, "")
    assert "--output: expected one of md, html, json, csv" in ended.err


@pytest.mark.parametrize("hides_stopped", [False, True])
async def test_stopped_jobs_are_open_points(clock: ManualClock, *, hides_stopped: bool) -> None:
    options = WorldOptions(
        sources=1, finished_jobs_per_source=150, stopped_share=1.0, hides_stopped=hides_stopped, special_sources=False
    )
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        found = (await reported(simulator, clock)).source
        jobs = list(simulator.world.truth().jobs(FIRST))
        unfinished = sum(job.status not in ("DONE", "FAILED") for job in jobs)
        assert found["jobs"]["stopped"] == sum(bool(job.stopped) for job in jobs) == 1
        assert {f"Unfinished: {unfinished} jobs.", "Stopped: 1 job."} <= set(found["open_points"])
        assert sum(found["jobs"]["by_status"].values()) == found["jobs"]["total"] == len(jobs)


async def test_jobs_in_a_new_status_are_unfinished(simulator: Simulator, ask: Report) -> None:
    simulator.faults.add(Fault(kind="unknown_status", operation="ListMmsJobs", value="PAUSED"))
    source = (await ask()).source
    assert source["jobs"]["by_status"] == {"PAUSED": source["jobs"]["total"]}
    assert f"Unfinished: {source['jobs']['total']} jobs." in source["open_points"]


async def test_an_incomplete_list_of_tasks_is_named(simulator: Simulator, ask: Report) -> None:
    simulator.faults.add(Fault(kind="lost_row", operation="ListMmsTasks", row=0))
    found = await ask()
    assert not found.result.succeeded
    assert [each["part"] for each in found.source["not_read"]] == ["tasks"]
    assert found.source["tasks"]["examined"] > 0
