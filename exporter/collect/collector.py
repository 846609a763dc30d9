"""The collector protocol, and the base of collectors that read one data source after another."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from structlog.stdlib import BoundLogger

from exporter.clock import Clock
from exporter.collect.fan_out import FanOut
from exporter.collect.permissions import Permissions, Refusals
from exporter.collect.state.source_state import Cached, SourceState, SourceStates
from exporter.config.loading import Account
from exporter.errors import ExporterError
from exporter.mms.client import Client
from exporter.mms.throttle import Observer
from exporter.sharding import Shard


@dataclass(frozen=True, slots=True)
class CollectorContext:
    """Dependencies that the collectors of one account share."""

    account: Account
    client: Client
    observer: Observer
    sources: SourceStates
    clock: Clock
    log: BoundLogger
    note_progress: Callable[[], None]
    """Called after each read, so that partial results can be published."""
    shard: Shard
    """Selects the data sources of the account that this process reads."""
    refusals: Refusals = field(default_factory=dict)
    """What MMS refused to the collectors."""

    def permissions(self, collector: str) -> Permissions:
        """Return the refused operations of a collector."""
        return Permissions(collector, self.refusals, self.observer, self.clock.monotonic)

    @property
    def fan_out(self) -> FanOut:
        """Return the worker pool of the account."""
        # 50 % more workers than requests in flight: one is always waiting for a free request slot.
        return FanOut(self.account.concurrency + self.account.concurrency // 2, self.log)


class Collector(Protocol):
    """Reads one kind of values of one account."""

    @property
    def name(self) -> str:
        """Value of the label `collector`."""

    async def collect(self) -> list[ExporterError]:
        """Read everything once, keep the results, and return the errors."""

    def skip(self) -> None:
        """Record that this refresh could not run the collector."""

    def note_reload(self) -> None:
        """Retry refused operations: a reload may follow a permission change."""


class SourcesCollector(ABC):
    """A collector that reads one data source after another."""

    name: ClassVar[str]

    def __init__(self, context: CollectorContext) -> None:
        self.context = context
        self.permissions = context.permissions(self.name)

    @abstractmethod
    def cached(self, source: SourceState) -> Cached[Any]:
        """Return the part of `source` that this collector updates."""

    @abstractmethod
    async def read(self, source: SourceState, now: float) -> None:
        """Update `source` at `now`, in monotonic seconds. Raises: MmsError."""

    async def collect(self) -> list[ExporterError]:
        """Read every source and return the errors."""
        by_id = self.context.sources.by_id
        read: set[int] = set()
        started = self.context.clock.monotonic()

        async def read_one(source: SourceState) -> None:
            await self.read(source, self.context.clock.monotonic())
            read.add(source.name.source_id)
            self.context.note_progress()

        # The least recently read first: a refresh that times out starves no source.
        pending = sorted(by_id.values(), key=lambda source: self.cached(source).at)
        try:
            errors = await self.context.fan_out.for_each(pending, read_one, lambda source: str(source.name))
            self.permissions.remove_expired(started)
            # A missing permission is an error of the collector, not of its sources.
            return [*errors, *self.permissions.errors]
        finally:
            for source_id, source in by_id.items():
                self.cached(source).note_outcome(succeeded=source_id in read)

    def skip(self) -> None:
        """Record that no source was read."""
        for source in self.context.sources.by_id.values():
            self.cached(source).note_outcome(succeeded=False)

    def note_reload(self) -> None:
        """Retry refused operations."""
        self.permissions.clear()
