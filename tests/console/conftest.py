"""A simulated migration that is under way, and the commands asked about it without a process of their own."""

import csv
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from exporter.config.loading import Config
from exporter.console.command_report import CommandReport
from exporter.console.commands import report_of
from exporter.console.options import Options
from exporter.console.output_style import OutputStyle
from exporter.console.printing import as_csv, as_json, printed
from exporter.simulator import ManualClock, Simulator
from tests.conftest import config_on

FIRST = 2_000_001
"""The id of the first data source."""


@dataclass(frozen=True)
class Shown:
    """What a command has to show, in each of its forms."""

    report: CommandReport[Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The objects of its JSON."""
        rows: list[dict[str, Any]] = json.loads(as_json(self.report))
        return rows

    @property
    def csv(self) -> list[dict[str, str]]:
        """The rows of its CSV."""
        return list(csv.DictReader(io.StringIO(as_csv(self.report).decode(), newline="")))

    def table(self, width: int | None = None, *, has_color: bool = False) -> str:
        """Return what people see."""
        return printed(self.report, "table", OutputStyle(width, has_color)).decode()

    @property
    def remarks(self) -> list[str]:
        """What is said beside the rows."""
        return list(self.report.remarks())


Look = Callable[..., Awaitable[Shown]]


async def shown(command: str, config: Config, **options: Any) -> Shown:
    """Return what a command shows."""
    return Shown(await report_of(command, config, Options(**options)))


@pytest.fixture
def look(simulator: Simulator, clock: ManualClock) -> Look:
    """Provide what asks one command of the simulated MMS, an hour after its story began."""
    clock.advance(3600)

    async def ask(command: str, **options: Any) -> Shown:
        return await shown(command, config_on(simulator.url), **options)

    return ask
