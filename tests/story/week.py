"""A simulated migration of a week: what happens, what a person does about it, and the samples of each scrape.

Virtual time: the exporter refreshes every 2.5 minutes against the simulator, as fast as it can. People retry failures
in working hours.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from exporter.simulator import ManualClock, WorldOptions
from tests.conftest import config_on
from tests.exposition_parser import Exposition, Labels
from tests.harness import Harness, harness_on
from tests.rules.loading import rules
from tests.story.worlds import Account

STEP_SECONDS: Final = 150
STEPS: Final = 7 * 86400 // STEP_SECONDS
MONDAY: Final = datetime(2026, 3, 2, tzinfo=ZoneInfo("Asia/Shanghai"))
OPTIONS: Final = WorldOptions(
    seed=11,
    start=MONDAY.timestamp(),
    sources=3,
    idle_share=0.0,
    stopped_share=0.0,
    untouched_share=0.0,
    tables=40,
    job_seconds=3600.0,
    running_jobs_per_source=1,
    finished_jobs_per_source=0,
    failure_rate=0.01,
    waves=19,
    incidents=False,
    special_sources=False,
)
METRICS: Final = frozenset(re.findall(r"\b(?:mms_\w+)\b", "\n".join(str(rule) for rule in rules())))
"""All metrics that a rule or an annotation names."""
RETRY_HOURS: Final = range(9, 18)

SeriesName = tuple[str, Labels]


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened, and the only alert that may notify of it."""

    what: str
    alert: str
    source: str
    """Empty if the alert has no source."""
    start: float
    """In seconds of the week."""
    end: float
    """When the alert may notify at the latest."""


@dataclass
class WeekSamples:
    """The samples of each series by step; a missing step is a gap."""

    start: float = MONDAY.timestamp()
    """Unix seconds of step 0."""
    samples: dict[SeriesName, dict[int, float]] = field(default_factory=dict)

    def add(self, step: int, served: Exposition) -> None:
        """Add the samples of a scrape."""
        self.put(step, "up", frozenset(), 1.0)
        for name, by_labels in served.samples.items():
            if name in METRICS:
                for labels, value in by_labels.items():
                    self.put(step, name, labels, value)

    def put(self, step: int, name: str, labels: Labels, value: float) -> None:
        """Add one sample; promtool begins at 0, so times do too."""
        value -= self.start if name.endswith("_timestamp_seconds") else 0
        self.samples.setdefault((name, labels), {})[step] = value


def at(day: int, hour: float) -> float:
    """Return the second of the week; day 0 is Monday."""
    return day * 86400 + hour * 3600


@dataclass
class Week:
    """The story: events by time, and the causes that they make."""

    account: Account
    causes: list[Cause] = field(default_factory=list)
    is_down: bool = False
    is_misconfigured: bool = False
    _events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _failed: dict[str, float] = field(default_factory=dict)
    """Since when a source has failed jobs or tables that nobody has seen, in seconds of the week."""

    def __post_init__(self) -> None:
        self.one, self.two, self.three = self.account.ids
        self._write()

    def _on(self, when: float, what: Callable[[], object]) -> None:
        self._events.append((when, what))

    def _cause(self, what: str, alert: str, source: str, start: float, hours: float) -> None:
        self.causes.append(Cause(what, alert, source, start, start + hours * 3600))

    def _fault(self, start: float, hours: float, begin: Callable[[], int]) -> None:
        numbers: list[int] = []
        self._on(start, lambda: numbers.append(begin()))
        self._on(start + hours * 3600, lambda: self.account.remove_fault(numbers.pop()))

    def _write(self) -> None:
        account, ids = self.account, self.account.ids
        one, two, three = self.one, self.two, self.three
        self._outage(at(0, 10), 0.7, one)
        self._cause("the agent stops at 10:00 and is started 40 minutes later", "MmsAgentOffline", one, at(0, 10), 1)
        self._on(at(0, 20), lambda: self._stop_source(two))
        self._on(at(1, 8), lambda: self._start_source(two))
        self._cause("somebody stops the data source for a night", "MmsSourceStopped", two, at(0, 20), 12)
        self._on(at(1, 14), lambda: account.fail_tables(ids[one], 6))
        self._cause("6 tables fail at once and are retried 20 minutes later", "MmsFailureBurst", one, at(1, 14), 1)
        self._fault(at(2, 11), 1.0, lambda: account.throttle(0.3))
        self._cause("another client uses the quota for 1 hour", "MmsThrottled", "", at(2, 11), 1.5)
        self._on(at(2, 22), account.remove_key)
        self._on(at(2, 22.5), account.restore_key)
        self._cause("a key rotation forgets the exporter for 30 minutes", "MmsCredentialsRefused", "", at(2, 22), 1)
        self._on(at(3, 3), lambda: account.stall(ids[three]))
        self._on(at(3, 9.2), lambda: account.stall(ids[three], stalled=False))
        self._cause("the queue of the source is full from 3:00 to 9:12", "MmsMigrationStalled", three, at(3, 3), 7)
        self._on(at(3, 10), lambda: self._stop_job(two))
        self._cause("somebody stops a job and forgets it", "MmsJobStopped", two, at(4, 10), 3)
        self._on(at(3, 16), lambda: setattr(self, "is_down", True))
        self._on(at(3, 16.2), lambda: setattr(self, "is_down", False))
        self._cause("the exporter is down for 12 minutes", "MmsExporterAbsent", "", at(3, 16), 0.5)
        self._on(at(4, 9.5), lambda: account.set_text(ids[one], "scanStatus", "FAILED"))
        self._on(at(4, 11), lambda: account.set_text(ids[one], "scanStatus", "DONE"))
        self._cause("a metadata scan fails", "MmsMetadataScanFailed", one, at(4, 9.5), 1)
        self._on(at(4, 13), lambda: setattr(self, "is_misconfigured", True))
        self._on(at(4, 14), lambda: setattr(self, "is_misconfigured", False))
        self._cause("a reload fails at a typing error", "MmsConfigReloadFailed", "", at(4, 13), 1)
        self._fault(at(4, 23), 0.5, lambda: account.refuse("ListMmsJobs", ids[two]))
        self._cause("MMS does not list the jobs of a data source for 30 minutes", "MmsSourceStale", two, at(4, 23), 1)
        self._fault(at(5, 4), 0.4, lambda: account.refuse("ListMmsDataSources"))
        self._cause("MMS fails for 24 minutes", "MmsAccountUnreadable", "", at(5, 4), 1)
        self._events.sort(key=lambda event: event[0])

    def _outage(self, start: float, hours: float, source: str) -> None:
        self._on(start, lambda: self.account.set_agent(self.account.ids[source], online=False))
        self._on(start + hours * 3600, lambda: self.account.set_agent(self.account.ids[source], online=True))

    def _stop_source(self, source: str) -> None:
        self.account.set_text(self.account.ids[source], "status", "STOPPED")
        self.account.set_agent(self.account.ids[source], online=False)

    def _start_source(self, source: str) -> None:
        self.account.set_text(self.account.ids[source], "status", "STARTED")
        self.account.set_agent(self.account.ids[source], online=True)

    def _stop_job(self, source: str) -> None:
        source_id = self.account.ids[source]
        self.account.stop_jobs(source_id, [self.account.unfinished_job(source_id)])

    def advance(self, second: float) -> None:
        """Let everything happen that is due."""
        while self._events and self._events[0][0] <= second:
            self._events.pop(0)[1]()

    def people(self, second: float, served: Exposition) -> None:
        """Retry failures 20 minutes after they were seen, in working hours."""
        is_at_work = int(second % 86400 // 3600) in RETRY_HOURS
        for source, source_id in self.account.ids.items():
            failed = sum(
                value
                for name in ("mms_tables", "mms_partitions")
                for value in served.having(name, source=source, status="FAILED").values()
            )
            if not failed:
                self._failed.pop(source, None)
            elif second - self._failed.setdefault(source, second) >= 1200 and is_at_work:
                self.account.retry(source_id)


async def recorded() -> tuple[WeekSamples, list[Cause]]:
    """Return the samples of the week, and its causes."""
    clock = ManualClock(MONDAY.timestamp())
    account, recording = Account("prod", OPTIONS, clock), WeekSamples()
    week = Week(account)
    async with account.simulator as simulator:
        config = config_on(simulator.url, {"name": "prod"}, jobs={"linger": "15m"}, failures={"enabled": False})
        async with harness_on(config, clock) as harness:
            for step in range(STEPS):
                await _scrape(step, week, harness, recording)
                clock.advance(STEP_SECONDS)
    return recording, week.causes


async def _scrape(step: int, week: Week, harness: Harness, recording: WeekSamples) -> None:
    week.advance(step * STEP_SECONDS)
    if week.is_down:
        recording.put(step, "up", frozenset(), 0.0)
        return
    served = await harness.refresh()
    recording.add(step, served)
    ok = frozenset({("instance", "exporter")})
    recording.put(step, "mms_exporter_config_last_reload_successful", ok, float(not week.is_misconfigured))
    week.people(step * STEP_SECONDS, served)
