"""The commands on a simulated migration, without a process of their own."""

import csv
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Config
from exporter.console.check import check
from exporter.console.database_list import databases
from exporter.console.failed import failures
from exporter.console.failed_why import reasons
from exporter.console.job_list import jobs
from exporter.console.output.command_report import CommandReport
from exporter.console.output.printing import as_csv, as_json, printed
from exporter.console.output.terminal import OutputStyle
from exporter.console.report.command import report
from exporter.console.selection.queries import Options
from exporter.console.show import show
from exporter.console.source_list import sources
from exporter.simulator import ManualClock, Simulator
from tests.conftest import config_on
from tests.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories

QUERIES: dict[str, Callable[[Config, Options, Clock], Awaitable[CommandReport[Any]]]] = {
    "sources": sources,
    "databases": databases,
    "jobs": jobs,
    "failed": failures,
    "failed --why": reasons,
    "show": show,
    "check": check,
    "report": report,
}
FIRST = 2_000_001
"""ID of the first data source."""


@dataclass(frozen=True)
class Shown:
    """The output of a command in each format."""

    report: CommandReport[Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The objects of the JSON output."""
        rows: list[dict[str, Any]] = json.loads(as_json(self.report))
        return rows

    @property
    def csv(self) -> list[dict[str, str]]:
        """The rows of the CSV output."""
        return list(csv.DictReader(io.StringIO(as_csv(self.report).decode(), newline="")))

    def table(self, width: int | None = None, *, has_color: bool = False) -> str:
        """Return the table."""
        return printed(self.report, "table", OutputStyle(width, has_color)).decode()

    @property
    def remarks(self) -> list[str]:
        """The lines for standard error."""
        return list(self.report.remarks())


Query = Callable[..., Awaitable[Shown]]


async def shown(command: str, config: Config, **options: Any) -> Shown:
    """Return the output of a command."""
    return Shown(await QUERIES[command](config, Options(**options), SYSTEM_CLOCK))


@pytest.fixture
def query(simulator: Simulator, clock: ManualClock) -> Query:
    """Provide a function that runs a command on the simulation."""
    clock.advance(3600)

    async def ask(command: str, **options: Any) -> Shown:
        return await shown(command, config_on(simulator.url), **options)

    return ask
