"""Configuration reload: on request, and after a change of a file.

A request reloads both the configuration and the web configuration, and applies both or neither. Reloads run one at a
time, after the start. Knows no signals and no HTTP paths.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, Never, TypeVar

import structlog

from exporter.app.service import Service
from exporter.app.systemd import NO_SUPERVISOR, Supervisor
from exporter.config.file_changes import FileStamps
from exporter.config.loading import Config
from exporter.errors import ConfigError, Problem
from exporter.web.security.web_config_watcher import WebConfigWatcher

log = structlog.stdlib.get_logger()
T = TypeVar("T")

UNEXPECTED_ERROR: Final = Problem("", "unexpected error; see the traceback in the log")
_NO_WEB_CONFIG: Final = WebConfigWatcher(None)


class Reloader:
    """Loads the configuration and applies it to the service."""

    def __init__(
        self,
        load: Callable[[], Config],
        service: Service,
        read_stamps: Callable[[], FileStamps] = dict,
        supervisor: Supervisor = NO_SUPERVISOR,
    ) -> None:
        """`read_stamps` returns the stamps of the files that `load` reads."""
        self._supervisor = supervisor
        self._load = load
        self._service = service
        self._read_stamps = read_stamps
        self._loaded_stamps: FileStamps = {}
        self._applied: Config | None = None
        self._web_config = _NO_WEB_CONFIG
        self._lock = asyncio.Lock()
        self._has_started = asyncio.Event()
        self._is_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self) -> Config:
        """Return the first configuration. Raises: ConfigError."""
        self._loaded_stamps = self._read_stamps()
        return self._load()

    async def start(self, config: Config, web_config: WebConfigWatcher | None = None) -> None:
        """Apply the first configuration; reloads requested before follow.

        Later reloads include `web_config`.
        """
        self._web_config = web_config or self._web_config
        await self._service.apply(config)
        self._applied = config
        self._has_started.set()

    async def reload(self) -> None:
        """Reload both configurations; apply both or neither. Raises: ConfigError."""
        await self._has_started.wait()
        async with self._lock:
            self._is_scheduled = False
            await self._load_and_apply(self._web_config)

    def reload_soon(self) -> None:
        """Schedule a reload unless one is scheduled; log failures."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._run(self._reload_and_log(), "reload")

    def watch_files(self, interval_seconds: float) -> None:
        """Check the files once per interval; reload after changes."""
        self._run(self._watch_files(interval_seconds), "watch configuration files")

    async def close(self) -> None:
        """Cancel every task; a configuration being applied is applied completely."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_and_log(self) -> None:
        with _logged():
            await self.reload()

    async def _load_and_apply(self, web_config: WebConfigWatcher) -> None:
        with self._supervisor.reloading():
            try:
                settings, web_problems = attempt(web_config.read)
                stamps = await asyncio.to_thread(self._read_stamps)  # before the files, so that no change is missed
                config, problems = await asyncio.to_thread(attempt, self._load)
                if problems or not web_problems:  # otherwise the next file check applies the change
                    self._loaded_stamps = stamps
                if config is None or web_problems:
                    self._reject(config, *web_problems, *problems)
                await self._service.apply(config)
            except ConfigError:
                raise
            except Exception:
                self._loaded_stamps = {}  # the next file check tries again
                self._service.set_load_status(is_current=False, problems=(str(UNEXPECTED_ERROR),))
                raise
            self._applied = config
            web_config.apply(settings)
            log.info("configuration reloaded", accounts=len(config.accounts))

    def _reject(self, config: Config | None, *problems: Problem) -> Never:
        texts, is_current = tuple(map(str, problems)), config is not None and config == self._applied
        log.warning("configuration reload failed, keeping the previous configuration", problems="; ".join(texts))
        self._service.set_load_status(is_current=is_current, problems=() if is_current else texts)
        raise ConfigError(*problems)

    async def _watch_files(self, interval_seconds: float) -> None:
        previous: FileStamps | None = None
        while True:
            await asyncio.sleep(interval_seconds)
            with _logged():
                stamps = await asyncio.to_thread(self._read_stamps)
                # A missing file may be about to be replaced: it counts as changed if it is missing twice.
                is_settled, previous = all(stamps.values()) or stamps == previous, stamps
                if is_settled and stamps != self._loaded_stamps:
                    async with self._lock:
                        await self._load_and_apply(_NO_WEB_CONFIG)


def attempt(read: Callable[[], T]) -> tuple[T | None, tuple[Problem, ...]]:
    """Return the result and the problems of a configuration, to report those of both configurations."""
    try:
        return read(), ()
    except ConfigError as error:
        return None, error.problems


@contextmanager
def _logged() -> Iterator[None]:
    # An invalid configuration is logged already.
    try:
        yield
    except ConfigError:
        pass
    except Exception:
        log.exception("configuration reload failed with an unexpected error, keeping the previous configuration")
