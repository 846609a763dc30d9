"""Reloads of the configuration: on command, and when one of its files changed.

A command loads the configuration and the web configuration, and applies both or neither. Reloads run one at a time,
the first after the start. Knows no signal and no path on the web.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from exporter.app.service import Service
from exporter.app.systemd import NO_SUPERVISOR, Supervisor
from exporter.config.file_changes import FileStamps
from exporter.config.loading import Config
from exporter.errors import ConfigError, Problem
from exporter.web.security.web_config_watcher import LoadedSettings, WebConfigWatcher

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
        look: Callable[[], FileStamps] = dict,
        supervisor: Supervisor = NO_SUPERVISOR,
    ) -> None:
        """`look` returns the stamps of the files that `load` reads."""
        self._supervisor = supervisor
        self._load = load
        self._service = service
        self._look = look
        self._seen: FileStamps = {}
        self._applied: Config | None = None
        self._web_config = _NONE
        self._turn = asyncio.Lock()
        self._has_started = asyncio.Event()
        self._is_due = False
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self) -> Config:
        """Return the first configuration. Raises: ConfigError."""
        self._seen = self._look()
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
            self._is_due = False
            await self._load_anew(self._web_config)

    def reload_soon(self) -> None:
        """Reload in a task, unless one is waiting to do so; failures are logged."""
        if not self._is_due:
            self._is_due = True
            self._run(self._reload_quietly(), "reload")

    def follow(self, interval_seconds: float) -> None:
        """Reload from now on when a file changed; look once an interval."""
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
        with _logged():
            await self.reload()

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
                self._note_problems(UNFORESEEN)
                raise
            self._applied = config
            web_config.apply(loaded)
            log.info("configuration reloaded", accounts=len(config.accounts))

    async def _loaded(self, web_config: WebConfigWatcher) -> tuple[Config, LoadedSettings | None]:
        """Return both configurations. Raises: ConfigError with the problems of both."""
        web_problems: Sequence[Problem] = ()
        try:
            loaded = web_config.read()
        except ConfigError as error:
            web_problems = error.problems
        stamps = await asyncio.to_thread(self._look)  # before the files are read: no change is missed
        try:
            config = await asyncio.to_thread(self._load)
        except ConfigError as error:
            self._seen = stamps
            self._note_problems(*web_problems, *error.problems)
            raise ConfigError(*web_problems, *error.problems) from None
        if web_problems:  # the configuration is still followed: its change is not applied
            if config == self._applied:
                self._service.note_load(is_current=True, problems=())
            else:
                self._note_problems(*web_problems)
            raise ConfigError(*web_problems)
        self._seen = stamps
        return config, loaded

    def _note_problems(self, *problems: Problem) -> None:
        self._service.note_load(is_current=False, problems=tuple(map(str, problems)))

    async def _follow(self, interval_seconds: float) -> None:
        """Reload on each change, until cancelled; an error must not end it."""
        before: FileStamps | None = None
        while True:
            await asyncio.sleep(interval_seconds)
            with _logged():
                stamps = await asyncio.to_thread(self._look)
                # A missing file may be about to be replaced: it counts if it is missing twice.
                is_settled, before = all(stamps.values()) or stamps == before, stamps
                if is_settled and stamps != self._seen:
                    async with self._turn:
                        await self._load_anew(_NONE)


@contextmanager
def _logged() -> Iterator[None]:
    """Log an unforeseen error, which nobody waits for; an invalid configuration is logged already."""
    try:
        yield
    except ConfigError:
        pass
    except Exception:
        log.exception("configuration reload failed with an unexpected error, keeping the previous configuration")
