"""Loading the configuration anew while it is served: on command, and when what is in its files changed.

One reload at a time, the first after the start. Knows no signal and no path on the web.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from exporter.config import Config
from exporter.config_content import Content
from exporter.errors import ConfigError, Problem
from exporter.web.entrance import Entrance
from exporter.web.service import Service
from exporter.web.systemd import ALONE, Supervisor

log = structlog.stdlib.get_logger()


class Reloader:
    """Loads, and has the service run what was loaded."""

    def __init__(
        self,
        load: Callable[[], Config],
        service: Service,
        content: Callable[[], Content] | None = None,
        supervisor: Supervisor = ALONE,
    ) -> None:
        """`content` tells what `load` would read now; it is None where nobody asks whether that changed."""
        self._supervisor = supervisor
        self._load = load
        self._service = service
        self._content = content
        self._seen: Content | None = None
        self._entrance = Entrance(None)
        self._turn = asyncio.Lock()
        self._has_started = asyncio.Event()
        self._is_due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self) -> Config:
        """Return the first configuration. Raises: ConfigError."""
        if self._content is not None:
            self._seen = self._content()
        return self._load()

    async def start(self, config: Config, entrance: Entrance | None = None) -> None:
        """Have the service run the first configuration; reloads that were asked for before follow it.

        `entrance` is what is read anew beside it.
        """
        self._entrance = entrance or self._entrance
        await self._service.apply(config)
        self._has_started.set()

    async def reload(self) -> None:
        """Load and apply both configurations anew; one that cannot be loaded stays as it is. Raises: ConfigError."""
        await self._has_started.wait()
        async with self._turn:
            with self._supervisor.reloading():
                await self._load_anew()

    def reload_soon(self) -> None:
        """Reload in a task of its own, unless one waits to do so; what fails is logged."""
        if not self._is_due:
            self._is_due = True
            self._run(self._reload_quietly(), "reload")

    def follow(self, interval_seconds: float) -> None:
        """Reload from now on when the content changed, which is looked at once an interval."""
        self._run(self._follow(interval_seconds), "follow configuration")

    async def close(self) -> None:
        """End every task; a configuration that is being applied is applied to the end."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_quietly(self) -> None:
        await self._has_started.wait()
        async with self._turn:
            self._is_due = False
            with suppress(ConfigError), self._supervisor.reloading():
                await self._load_anew()

    async def _load_anew(self) -> None:
        problems: list[Problem] = []
        try:
            self._entrance.read()
        except ConfigError as error:
            problems += error.problems
        if self._content is not None:  # looked at before it is loaded, so that no change falls between
            self._seen = await asyncio.to_thread(self._content)
        try:
            config = await asyncio.to_thread(self._load)
        except ConfigError as error:
            self._service.note_failed_reload(error.problems)
            log.warning("configuration not reloaded; the old one stays", problems="; ".join(map(str, error.problems)))
            problems += error.problems
        else:
            await self._service.apply(config)
            log.info("configuration reloaded", accounts=len(config.accounts))
        if problems:
            raise ConfigError(*problems)

    async def _follow(self, interval_seconds: float) -> None:
        """Look at the content for ever.

        A file that cannot be read may be about to be replaced: it counts when it is so for two looks.
        """
        before: Content | None = None
        while self._content is not None:
            await asyncio.sleep(interval_seconds)
            content = await asyncio.to_thread(self._content)
            if content != self._seen and (content.is_whole or content == before):
                with suppress(ConfigError):
                    await self.reload()
            before = content
