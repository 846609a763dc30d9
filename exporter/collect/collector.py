"""What a collector is, and the kind that reads one data source after another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from structlog.stdlib import BoundLogger

from exporter.clock import Clock
from exporter.collect.fan_out import FanOut
from exporter.collect.permissions import Permissions
from exporter.collect.state.source_state import Cached, SourceState, SourceStates
from exporter.config.loading import Account
from exporter.errors import ExporterError
from exporter.mms.client import Client
from exporter.mms.observer import Observer
from exporter.sharding import Shard


@dataclass(frozen=True, slots=True)
class CollectorContext:
    """What the collectors of one account work with."""

    account: Account
    client: Client
    observer: Observer
    sources: SourceStates
    clock: Clock
    log: BoundLogger
    note_progress: Callable[[], None]
    """To be called when something was read, since it may be shown before the rest is."""
    shard: Shard
    """Which of the account's data sources are read here."""

    @property
    def fan_out(self) -> FanOut:
        """What reads several things at a time: more than may be asked for at once, so that one always waits to ask."""
        return FanOut(self.account.concurrency + self.account.concurrency // 2, self.log)


class Collector(Protocol):
    """One kind of figures of one account; the label `collector` is its name."""

    @property
    def name(self) -> str:
        """What it collects."""

    async def collect(self) -> list[ExporterError]:
        """Read once all that there is to read, keep what was read, and return what went wrong."""

    def give_up(self) -> None:
        """Note that nothing can be read in this refresh."""

    def note_reload(self) -> None:
        """Note that somebody may have changed what is permitted."""


class SourceReader(Protocol):
    """Reads what one collector reads of one data source."""

    def reading(self, source: SourceState) -> Cached[Any]:
        """Return what this reader keeps of `source`."""

    async def read(self, source: SourceState, now: float) -> None:
        """Keep in `source` what is known at `now`, in monotonic seconds. Raises: MmsError for what was not read."""


class SourcesCollector:
    """A collector that reads each data source by itself; what is not permitted is its own trouble, not a source's."""

    def __init__(
        self, name: str, reader: SourceReader, means: CollectorContext, permissions: Permissions | None = None
    ) -> None:
        self.name = name
        self._reader = reader
        self._means = means
        self._permissions = permissions or Permissions(means.clock.monotonic)

    async def collect(self) -> list[ExporterError]:
        """Read every source, the longest unread first, so that a refresh cut short starves none."""
        reading = self._reader.reading
        read: set[int] = set()

        async def read_one(source: SourceState) -> None:
            await self._reader.read(source, self._means.clock.monotonic())
            read.add(source.name.source_id)
            self._means.note_progress()

        waiting = sorted(self._means.sources.by_id.values(), key=lambda source: reading(source).at)
        try:
            errors = await self._means.fan_out.each(waiting, read_one, lambda source: str(source.name))
            return [*errors, *self._permissions.errors]
        finally:
            for source_id, source in self._means.sources.by_id.items():
                reading(source).note_outcome(succeeded=source_id in read)

    def give_up(self) -> None:
        """Note that no source was read."""
        for source in self._means.sources.by_id.values():
            self._reader.reading(source).note_outcome(succeeded=False)

    def note_reload(self) -> None:
        """Ask again for what was refused."""
        self._permissions.forget()
