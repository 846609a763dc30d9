"""docs/commands.md shows the output and the fields of the commands. UPDATE_GOLDEN=1 rewrites it."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from exporter.cli import arguments
from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import region_only
from exporter.console import database_list as databases
from exporter.console import failed as failures
from exporter.console import failed_why
from exporter.console import job_list as jobs
from exporter.console import source_list as sources
from exporter.console.check import FIELDS as CHECK_FIELDS
from exporter.console.check import Finding, check
from exporter.console.output.command_report import CommandReport, Field
from exporter.console.output.printing import printed
from exporter.console.output.terminal import OutputStyle
from exporter.console.report.command import CSV_FIELDS
from exporter.console.selection.queries import Options
from exporter.simulator import ManualClock, Simulator, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.console.conftest import FIRST, QUERIES
from tests.programs import ROOT

PAGE = ROOT / "docs" / "commands.md"
WIDTH = 110
EXAMPLE = re.compile(
    r"(?<=^```console\n)\$ mms-exporter (?P<command_line>[^\n]*)\n.*?(?=^```$)", re.DOTALL | re.MULTILINE
)
TABLE = re.compile(r"^<!-- fields: (?P<command>\w+) -->\n(?:\|[^\n]*\n)*", re.MULTILINE)
FIELDS: dict[str, Sequence[Field[Any]]] = {"sources": sources.FIELDS, "jobs": jobs.FIELDS, "failed": failures.FIELDS}
FIELDS |= {"databases": databases.FIELDS, "check": CHECK_FIELDS, "why": failed_why.fields(), "report": CSV_FIELDS}


@pytest.fixture
def world(simulator: Simulator, clock: ManualClock) -> Simulator:
    """Provide a simulation with failures, 1 hour after its start."""
    job = events.CreateJob(source_id=FIRST + 1, database="finance", seconds=600, failure_rate=1.0)
    apply_event(simulator.world, job)
    clock.advance(3600)
    apply_event(simulator.world, events.Fail(source_id=FIRST, partition_ids=(11, 12), share=0.2))
    return simulator


async def answer_to(command_line: str, simulator: Simulator, clock: ManualClock) -> str:
    """Return a command line with its output on a terminal; remarks come last."""
    invocation = arguments.parse(shlex.split(command_line), {})
    options = Options.of(invocation.values)
    if invocation.command == "check":
        report: CommandReport[Any] = await checked(simulator)
    else:
        query = "failed --why" if invocation.values.get("why") else invocation.command
        report = await QUERIES[query](config_on(simulator.url), options, Clock(wall=clock))
    text = printed(report, invocation.values["output"], OutputStyle(WIDTH)).decode().replace("\r\n", "\n")
    lines = [*text.splitlines(), *(f"mms-exporter: {remark}" for remark in report.remarks())]
    return "".join(f"{line.rstrip()}\n" for line in (f"$ mms-exporter {command_line}", *lines))


async def checked(simulator: Simulator) -> CommandReport[Finding]:
    """Return the report of `check` with the minimal policy."""
    simulator.identities.add(replace(IDENTITY, actions=frozenset({"odps:ListMmsDataSources", "odps:ListMmsJobs"})))
    config = config_on(simulator.url)
    report = await check(config, Options(), SYSTEM_CLOCK)
    simulator.identities.add(IDENTITY)
    # The page shows a real endpoint.
    url = region_only("cn-shanghai").accounts[0].url
    details = [row.detail.replace(simulator.url, url) for row in report.rows]
    # The simulation is in the past.
    details = [re.sub(r"is \w+ behind", "is 31m5s behind", detail) for detail in details]
    rows = [replace(row, detail=detail) for row, detail in zip(report.rows, details, strict=True)]
    return replace(report, rows=rows)


def table_of(command: str) -> str:
    """Return the table of a command's fields."""
    rows = (f"| `{field.name}` | {field.meaning} |\n" for field in FIELDS[command])
    return f"<!-- fields: {command} -->\n| field | meaning |\n|---|---|\n{''.join(rows)}"


async def test_the_page_shows_what_the_commands_print(world: Simulator, clock: ManualClock) -> None:
    page = PAGE.read_text(encoding="utf-8")
    answers = iter([await answer_to(match["command_line"], world, clock) for match in EXAMPLE.finditer(page)])
    expected = TABLE.sub(lambda match: table_of(match["command"]), EXAMPLE.sub(lambda _: next(answers), page))
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(expected, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == expected


def test_every_field_has_a_meaning() -> None:
    assert all(field.meaning for fields in FIELDS.values() for field in fields)
