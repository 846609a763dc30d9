"""Configuration reload: on request, and after a change of a file.

A request reloads both the configuration and the web configuration, and applies both or neither. Reloads run one at a
time, after the start. Knows no signals and no HTTP paths.
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
from exporter.web.security.web_config_watcher import Settings, WebConfigWatcher

log = structlog.stdlib.get_logger()

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
                config, loaded = await self._loaded(web_config)
                await self._service.apply(config)
            except ConfigError as error:
                problems = "; ".join(map(str, error.problems))
                log.warning("configuration reload failed, keeping the previous configuration", problems=problems)
                raise
            except Exception:
                self._loaded_stamps = {}  # the next file check tries again
                self._report_problems(UNEXPECTED_ERROR)
                raise
            self._applied = config
            web_config.apply(loaded)
            log.info("configuration reloaded", accounts=len(config.accounts))

    async def _loaded(self, web_config: WebConfigWatcher) -> tuple[Config, Settings | None]:
        # Reads both before it raises, to report the problems of both.
        web_problems: Sequence[Problem] = ()
        try:
            loaded = web_config.read()
        except ConfigError as error:
            web_problems = error.problems
        stamps = await asyncio.to_thread(self._read_stamps)  # before reading the files, so that no change is missed
        try:
            config = await asyncio.to_thread(self._load)
        except ConfigError as error:
            self._loaded_stamps = stamps
            self._report_problems(*web_problems, *error.problems)
            raise ConfigError(*web_problems, *error.problems) from None
        if web_problems:  # _loaded_stamps stay: the next file check applies the change
            if config == self._applied:
                self._service.set_load_status(is_current=True, problems=())
            else:
                self._report_problems(*web_problems)
            raise ConfigError(*web_problems)
        self._loaded_stamps = stamps
        return config, loaded

    def _report_problems(self, *problems: Problem) -> None:
        self._service.set_load_status(is_current=False, problems=tuple(map(str, problems)))

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


@contextmanager
def _logged() -> Iterator[None]:
    # An invalid configuration is logged already.
    try:
        yield
    except ConfigError:
        pass
    except Exception:
        log.exception("configuration reload failed with an unexpected error, keeping the previous configuration")
