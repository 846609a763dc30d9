"""Loading the configuration anew while it is served: on command, and when what is in its files changed.

A command has both configurations loaded, and applies both or neither; what is followed is followed for itself. One
reload at a time, the first after the start. Knows no signal and no path on the web.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from exporter.config import Config
from exporter.config_content import Content
from exporter.errors import ConfigError, Problem
from exporter.web.service import Service
from exporter.web.systemd import ALONE, Supervisor
from exporter.web.web_config_watcher import LoadedSettings, WebConfigWatcher

log = structlog.stdlib.get_logger()

UNFORESEEN: Final = Problem("", "unexpected error; see the traceback in the log")
_NONE: Final = WebConfigWatcher(None)
"""Where there is no web configuration, and where it is none of the business at hand."""


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
        self._applied: Config | None = None
        self._web_config = _NONE
        self._turn = asyncio.Lock()
        self._has_started = asyncio.Event()
        self._is_due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self) -> Config:
        """Return the first configuration. Raises: ConfigError."""
        if self._content is not None:
            self._seen = self._content()
        return self._load()

    async def start(self, config: Config, web_config: WebConfigWatcher | None = None) -> None:
        """Have the service run the first configuration; reloads that were asked for before follow it.

        `web_config` is reloaded together with it.
        """
        self._web_config = web_config or self._web_config
        await self._service.apply(config)
        self._applied = config
        self._has_started.set()

    async def reload(self) -> None:
        """Load both configurations anew and apply both, or neither where one cannot be used. Raises: ConfigError."""
        await self._has_started.wait()
        async with self._turn:
            await self._load_anew(self._web_config)

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
            with _told():
                await self._load_anew(self._web_config)

    async def _load_anew(self, web_config: WebConfigWatcher) -> None:
        """Load and apply both configurations, or neither if one is invalid. Raises: ConfigError."""
        with self._supervisor.reloading():
            try:
                config, loaded = await self._loaded(web_config)
                await self._service.apply(config)
            except ConfigError as error:
                problems = "; ".join(map(str, error.problems))
                log.warning("configuration reload failed, keeping the previous configuration", problems=problems)
                raise
            except Exception:
                self._service.note_failed_reload([UNFORESEEN])
                raise
            self._applied = config
            web_config.apply(loaded)
            log.info("configuration reloaded", accounts=len(config.accounts))

    async def _loaded(self, web_config: WebConfigWatcher) -> tuple[Config, LoadedSettings | None]:
        """Return both as they are now. Raises: ConfigError with the problems of both."""
        problems: list[Problem] = []
        try:
            loaded = web_config.read()
        except ConfigError as error:
            problems += error.problems
        before = self._seen
        if self._content is not None:  # looked at before it is loaded, so that no change falls between
            self._seen = await asyncio.to_thread(self._content)
        is_held_up = True
        try:
            config = await asyncio.to_thread(self._load)
        except ConfigError as error:
            problems += error.problems
        else:
            is_held_up = config != self._applied
            self._seen = before if problems else self._seen  # who follows it may still apply it
        if problems:
            if is_held_up:
                self._service.note_failed_reload(problems)
            else:
                self._service.note_same_configuration()
            raise ConfigError(*problems)
        return config, loaded

    async def _follow(self, interval_seconds: float) -> None:
        """Look at the content for ever, whatever happens: nobody would notice that it is not looked at any more."""
        before: Content | None = None
        while self._content is not None:
            await asyncio.sleep(interval_seconds)
            with _told():
                content = await asyncio.to_thread(self._content)
                # A file that cannot be read may be about to be replaced: it counts when it is so for two looks.
                is_settled, before = content.is_whole or content == before, content
                if is_settled and content != self._seen:
                    async with self._turn:
                        await self._load_anew(_NONE)


@contextmanager
def _told() -> Iterator[None]:
    """Have an error end here, where nobody waits for it: a bad configuration was logged, and any other is now."""
    try:
        yield
    except ConfigError:
        pass
    except Exception:
        log.exception("configuration reload failed with an unexpected error, keeping the previous configuration")
