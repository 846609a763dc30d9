"""The story of the demo: a migration of twenty minutes, told by acts at fixed times.

`docs/design/simulator.md` has the same table in words. To change the story, change `_script`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from exporter.simulator.world.event_handlers import apply_event
from exporter.simulator.world.events import CreateJob, CreateTimer, Event, RetryFailed, ScanMetadata, SetAgent, Stall
from exporter.simulator.world.options import WorldOptions
from exporter.simulator.world.source_spec import FIRST_SOURCE_ID
from exporter.simulator.world.world import Happening, World

SOURCES: Final = 4
"""Data sources with a part in the story; further ones only migrate."""
STORY_SECONDS: Final = 1200.0
"""Duration of the story."""
_FIRST_WAVE: Final = ((0.0, "sales"), (3.0, "finance"), (6.0, "logs"), (9.0, "risk"))
_SECOND_WAVE: Final = ((13.0, "supply"), (16.0, "media"))
"""The minutes at which every source gets a job for a database."""
_JOB_SECONDS: Final = 170.0
_SCAN_SECONDS: Final = 120.0
_AHEAD: Final = {"finance": 0.4, "logs": 2.5}
"""Earlier minutes of the source that loses its agent, so that it ends with the others."""
_STAGGER_MINUTES: Final = 0.1
"""Between the jobs of two data sources, so that not all tasks end at once."""
_SCHEDULED: Final = ("sales", 8.0)
"""The database of the timer, and the minute at which it is due, or at most 1 minute before."""


class Act(NamedTuple):
    """An event and its minute in the story."""

    minute: float
    event: Event


def _script(sources: range, start: float) -> Iterator[Act]:
    leftover, agent, stalled, burst = (sources[index % len(sources)] for index in range(SOURCES))
    failure_rates = {(burst, "finance"): 0.7, (leftover, "finance"): 0.1}
    for minute, database in (*_FIRST_WAVE, *_SECOND_WAVE):
        for place, source_id in enumerate(sources):
            begin = _AHEAD.get(database, minute) if source_id == agent else minute
            rate = failure_rates.get((source_id, database), 0.0)
            event = CreateJob(source_id=source_id, database=database, seconds=_JOB_SECONDS, failure_rate=rate)
            yield Act(begin + place % SOURCES * _STAGGER_MINUTES, event)
    database, minute = _SCHEDULED
    due, name = f"{int(start / 60 + minute) % 60:02d}", f"hourly_{database}"
    timer = CreateTimer(source_id=leftover, database=database, name=name, schedule_type="Hourly", value=due)
    yield Act(0.0, timer)
    # When the job of this database is done, and before any other has migrated something.
    yield Act(3.0, ScanMetadata(source_id=leftover, seconds=_SCAN_SECONDS, share=0.1))
    yield Act(4.0, SetAgent(source_id=agent, online=False))
    yield Act(8.0, RetryFailed(source_id=burst))
    yield Act(10.0, Stall(source_id=stalled))
    yield Act(11.0, SetAgent(source_id=agent, online=True))
    yield Act(13.0, Stall(source_id=stalled, stalled=False))


def story_options(seed: int = 1, sources: int = SOURCES, *, hides_stopped: bool = False) -> WorldOptions:
    """Return the options of the story: nothing is migrated at the start, and only acts change that."""
    return WorldOptions(
        seed=seed,
        sources=sources,
        hides_stopped=hides_stopped,
        databases=len(_FIRST_WAVE) + len(_SECOND_WAVE),
        tables=120,
        partitions=8,
        finished_jobs_per_source=0,
        running_jobs_per_source=0,
        idle_share=0.0,
        untouched_share=1.0,
        failure_rate=0.0,
        job_seconds=90.0,
        async_task_seconds=1.0,
        incidents=False,
        special_sources=False,
    )


class StoryWorld(World):
    """A world in which the acts of the story happen."""

    def __init__(self, options: WorldOptions | None = None, *, clock: Callable[[], float]) -> None:
        super().__init__(options or story_options(), clock=clock)
        ids = range(FIRST_SOURCE_ID, FIRST_SOURCE_ID + self.options.sources)
        self._acts = deque(sorted(_script(ids, self.start) if ids else (), key=lambda act: act.minute))

    def _happenings(self) -> Iterator[Happening]:
        yield from super()._happenings()
        if self._acts:
            yield 60.0 * self._acts[0].minute, self._play

    def _play(self) -> None:
        apply_event(self, self._acts.popleft().event)
