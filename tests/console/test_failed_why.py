"""`failed --why` puts each failure into one group, with its message masked and the command that retries it."""

import re
import shlex
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exporter.console.failed import table_of
from exporter.console.failed_why import MAX_SELECTORS, NO_MESSAGE, NOT_READ
from exporter.mms.diagnosis.reason_rules import Reason
from exporter.mms.models.records import Partition, Table
from exporter.mms.models.statuses import TASK_PHASES
from exporter.mms.models.task_records import Task
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.console.conftest import FIRST, Query, Shown

CANARY = "canary7f3a"


@pytest.fixture
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Provide a simulation in which half of the tasks fail."""
    options = WorldOptions(sources=2, tables=40, failure_rate=0.5, special_sources=False)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as running:
        yield running


def selected(row: dict[str, Any], kind: str) -> list[int]:
    """Return the ids of a kind in the retry command of a group."""
    words = shlex.split(row["retry"])
    return [int(word.partition("=")[2]) for word in words if word.startswith(f"--{kind}=")]


async def everything(query: Query, **options: Any) -> Shown:
    """Return all groups."""
    return await query("failed --why", **options)


async def test_each_failure_is_in_the_retry_command_of_one_group(simulator: Simulator, query: Query) -> None:
    found = (await everything(query)).rows
    truth = simulator.world.truth()
    for source_id in truth.data_sources():
        groups = [row for row in found if row["source_id"] == source_id]
        for kind, rows in (("table", truth.tables(source_id)), ("partition", truth.partitions(source_id))):
            ids = Counter(number for row in groups for number in selected(row, kind))
            assert ids == Counter(row.id for row in rows if row.status == "FAILED")
        for row in groups:
            assert row["count"] == len(selected(row, "table")) + len(selected(row, "partition"))
            assert shlex.split(row["retry"])[:4] == ["mms-exporter", "retry", "--account=test", f"--source={source_id}"]
        assert len({(row["reason"], row["pattern"]) for row in groups}) == len(groups)
    assert len({row["reason"] for row in found}) > 3


async def test_a_group_says_why_since_when_and_what_to_do(simulator: Simulator, query: Query) -> None:
    text = "RequestId=1, ErrorCode=NoPermission, ErrorMessage=You have NO privilege 'odps:Update' on t_17"
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="msg", text=text, task_id=0))
    found = (await everything(query, sources=[str(FIRST)])).rows
    (group,) = [row for row in found if row["reason"] == Reason.PERMISSION]
    assert (group["example"], len(group["tables"]) > 1) == (text, True)
    assert group["pattern"] == text.replace("=1,", "=<n>,").replace("'odps:Update'", "<name>")
    assert group["hint"].startswith("Grant the identity")
    failed = [task for task in simulator.world.truth().tasks(FIRST) if (task.status or "").endswith("_FAILED")]
    assert group["task_id"] in {task.id for task in failed}
    assert group["since"][:19].replace("T", " ") in {task.end_time for task in failed}


async def test_failures_without_a_task_are_a_group_of_their_own(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="answer", operation="ListMmsTaskLogs", text='{"data": []}'))
    found = (await everything(query)).rows
    assert {(row["reason"], row["pattern"]) for row in found} == {("unknown", NO_MESSAGE)}
    for row in found:
        assert "`mms-exporter jobs --database=NAME`" in row["hint"]
        databases = [table.partition(".")[0] for table in row["tables"]]
        assert (await query("jobs", databases=databases, sources=[str(row["source_id"])])).rows


@pytest.mark.parametrize("output", ["card", "json", "csv"])
async def test_secrets_and_control_characters_of_messages_are_not_shown(
    simulator: Simulator, query: Query, output: str
) -> None:
    text = f"\x1b]0;evil\x07\u202e jdbc:hive2://mms:{CANARY}@h:1/d?password={CANARY} \x1b[31m" + "x" * 5000
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="msg", text=text, task_id=0))
    found = await everything(query, sources=[str(FIRST)])
    shown = {"card": found.table(), "json": str(found.rows), "csv": str(found.csv)}[output]
    assert CANARY not in shown
    assert "<hidden>" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "x" * 400 not in shown


async def test_a_card_has_no_part_of_a_retry_command(simulator: Simulator, query: Query) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    found = await everything(query, sources=[str(FIRST)])
    largest = found.rows[0]
    assert len(selected(largest, "partition")) > MAX_SELECTORS
    shown = re.findall(r"^retry +(.*)$", found.table(), re.MULTILINE)
    assert shown[0].startswith(f"too long to show, it selects {largest['count']:,} objects: --output=json")
    whole = {row["retry"] for row in found.rows}
    assert {line for line in shown if not line.startswith("too long")} <= whole, "what looks like a command is one"


async def test_one_log_is_read_for_each_table(simulator: Simulator, query: Query) -> None:
    found = (await everything(query, sources=[str(FIRST)])).rows
    tables = {table for row in found for table in row["tables"]}
    assert simulator.calls["ListMmsTasks", FIRST] == len(TASK_PHASES)
    assert simulator.calls["ListMmsTaskLogs", FIRST] <= len(tables)


async def test_older_tasks_beyond_the_limit_are_a_group_of_their_own(
    simulator: Simulator, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await everything(query, sources=[str(FIRST)])).rows
    simulator.calls.clear()
    monkeypatch.setattr("exporter.console.failed_why.MAX_LOGS", 2)
    found = (await everything(query, sources=[str(FIRST)], limit=2)).rows
    assert simulator.calls["ListMmsTaskLogs", FIRST] == 2
    (unread,) = [row for row in found if row["pattern"] == NOT_READ]
    assert (unread["reason"], unread["task_id"], "--limit" in unread["hint"]) == ("unknown", None, True)
    assert {row["task_id"] for row in found} - {None} <= {row["task_id"] for row in whole}
    assert sum(row["count"] for row in found) == sum(row["count"] for row in whole)
    assert unread["count"] == len(selected(unread, "table")) + len(selected(unread, "partition"))


async def test_a_missing_permission_names_the_action(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", operation="ListMmsTaskLogs"))
    found = await everything(query)
    assert not found.report.succeeded
    assert any("odps:ListMmsTaskLogs" in remark for remark in found.remarks)


async def test_a_log_that_cannot_be_read_hides_no_other(simulator: Simulator, query: Query) -> None:
    whole = (await everything(query, sources=[str(FIRST)])).rows
    simulator.faults.add(Fault(kind="error", status=400, code="Broken", operation="ListMmsTaskLogs", times=1))
    found = await everything(query, sources=[str(FIRST)])
    (unread,) = [row for row in found.rows if row["pattern"] == "log not read: rejected"]
    assert (unread["reason"], len(unread["tables"]), unread["example"]) == ("unknown", 1, "")
    assert sum(row["count"] for row in found.rows) == sum(row["count"] for row in whole)
    assert not found.report.succeeded
    assert len(found.remarks) == 1


async def test_many_broken_logs_are_one_error(simulator: Simulator, query: Query) -> None:
    simulator.faults.add(Fault(kind="html", operation="ListMmsTaskLogs"))
    found = await everything(query, sources=[str(FIRST)])
    assert "log not read: malformed" in {row["pattern"] for row in found.rows}
    assert len(found.report.errors) == 1


async def test_no_more_logs_are_read_after_many_broken_ones(
    simulator: Simulator, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await everything(query, sources=[str(FIRST)])).rows
    simulator.calls.clear()
    monkeypatch.setattr("exporter.console.failed_why.MAX_BROKEN_LOGS", 2)
    simulator.faults.add(Fault(kind="error", status=400, code="Broken", operation="ListMmsTaskLogs"))
    found = await everything(query, sources=[str(FIRST)])
    (account,) = config_on(simulator.url).accounts
    assert 2 <= simulator.calls["ListMmsTaskLogs", FIRST] <= 2 + account.concurrency
    assert {row["pattern"] for row in found.rows} <= {NO_MESSAGE, "log not read: rejected"}
    assert sum(row["count"] for row in found.rows) == sum(row["count"] for row in whole)


def _table(row: Table | Partition | Task) -> tuple[str | None, str | None]:
    if isinstance(row, Task):
        return row.src_db_name, row.src_table_name
    return row.db_name, table_of(row)


async def test_a_failed_table_says_why(simulator: Simulator, query: Query) -> None:
    text = f"ODPS-0420095: Access Denied; password={CANARY}"
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="msg", text=text, task_id=0))
    truth = simulator.world.truth()
    tasks = {_table(each): each.id for each in truth.tasks(FIRST) if (each.status or "").endswith("_FAILED")}
    for kind, rows in (("table", truth.tables(FIRST)), ("partition", truth.partitions(FIRST))):
        failed = next(row for row in rows if row.status == "FAILED" and _table(row) in tasks)
        found = await query("show", record=(kind, failed.id), sources=[str(FIRST)])
        why = found.rows[0]["failure"]
        assert (why["reason"], why["message"]) == ("permission", text.replace(CANARY, "<hidden>"))
        assert why["task_id"] == max(number for key, number in tasks.items() if key == _table(failed))
        assert "failure.hint" in found.table()


async def test_a_table_that_did_not_fail_costs_no_further_call(simulator: Simulator, query: Query) -> None:
    done = next(row for row in simulator.world.truth().tables(FIRST) if row.status == "DONE")
    (row,) = (await query("show", record=("table", done.id), sources=[str(FIRST)])).rows
    assert row["failure"] is None
    assert ("ListMmsTasks", FIRST) not in simulator.calls


@pytest.mark.parametrize(("code", "status", "succeeded"), [("NoPermission", 403, True), ("Broken", 400, False)])
async def test_a_table_is_shown_if_its_failure_cannot_be_read(
    simulator: Simulator, query: Query, code: str, status: int, *, succeeded: bool
) -> None:
    failed = next(row for row in simulator.world.truth().tables(FIRST) if row.status == "FAILED")
    simulator.faults.add(Fault(kind="error", status=status, code=code, operation="ListMmsTasks"))
    found = await query("show", record=("table", failed.id), sources=[str(FIRST)])
    assert (found.rows[0]["id"], found.rows[0]["failure"]) == (failed.id, None)
    assert found.report.succeeded is succeeded


async def test_the_log_of_a_task_says_why_it_failed(simulator: Simulator, query: Query) -> None:
    text = f"\x1b[31mODPS-0420095: Access Denied; password={CANARY}\n\tat com.example.A.b(A.java:1)"
    apply_event(simulator.world, events.SetText(source_id=FIRST, field="msg", text=text, task_id=0))
    task = next(each for each in simulator.world.truth().tasks(FIRST) if each.status == "DATA_FAILED")
    found = await query("show", record=("task", task.id), sources=[str(FIRST)])
    (row,) = found.rows
    assert (row["id"], row["reason"]) == (task.id, "permission")
    assert [each["status"] for each in row["log"]] == ["SCHEMA_DONE", "DATA_FAILED"]
    assert row["log"][-1]["msg"] == "ODPS-0420095: Access Denied; password=<hidden>"
    assert "log.msg" in found.table()
    done = next(each for each in simulator.world.truth().tasks(FIRST) if each.status == "DONE")
    (row,) = (await query("show", record=("task", done.id), sources=[str(FIRST)])).rows
    assert (row["reason"], len(row["log"])) == (None, len(TASK_PHASES))
