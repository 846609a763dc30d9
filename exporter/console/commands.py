"""The read-only commands by name."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Config
from exporter.console.check import check
from exporter.console.command_report import CommandReport
from exporter.console.failed import failures
from exporter.console.job_list import jobs
from exporter.console.options import Options
from exporter.console.show import show
from exporter.console.source_list import sources
from exporter.runtime import DAEMON_THREADS

Command = Callable[[Config, Options, float], Awaitable[CommandReport[Any]]]

COMMANDS: Final[Mapping[str, Command]] = {
    "sources": sources,
    "jobs": jobs,
    "failed": lambda config, options, _: failures(config, options),
    "show": show,
}


async def report_of(command: str, config: Config, options: Options, clock: Clock = SYSTEM_CLOCK) -> CommandReport[Any]:
    """Run one command. Raises: ConfigError for invalid options."""
    # With the default executor, the end of the loop would wait for DNS lookups, also after Ctrl-C.
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    if command == "check":
        return await check(config, options, clock)
    return await COMMANDS[command](config, options, clock.wall())
