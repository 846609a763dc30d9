"""The commands by name, each in a loop of its own that nothing can hold up at its end."""

import asyncio
from typing import Any, Literal

from exporter.clock import SYSTEM_CLOCK
from exporter.config import Config
from exporter.console.details import Kind, show
from exporter.console.failures import failures
from exporter.console.jobs import jobs
from exporter.console.options import Options
from exporter.console.report import Report
from exporter.console.sources import sources
from exporter.threads import DAEMON_THREADS

Command = Literal["sources", "jobs", "failed", "show"]


async def report_of(
    command: Command, config: Config, options: Options, kind: Kind = "table", number: int = 0
) -> Report[Any]:
    """Return what a command finds out; `kind` and `number` say what `show` is to show.

    Raises: ConfigError for what is asked for and cannot be.
    """
    # Or the end of the loop, after Ctrl-C too, would wait for the name of an endpoint to be resolved.
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    now = SYSTEM_CLOCK.wall()
    match command:
        case "sources":
            return await sources(config, options, now)
        case "jobs":
            return await jobs(config, options, now)
        case "failed":
            return await failures(config, options)
        case "show":
            return await show(config, options, kind, number, now)
