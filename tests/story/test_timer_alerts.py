"""Alerts on hourly timers by the shipped rules, from the simulated MMS, in virtual time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event, events
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on
from tests.story.week import WeekSamples
from tests.story.week_alerts import RoutedAlerts, firing_alerts

pytestmark = [pytest.mark.virtual_time, pytest.mark.long]

DUE: Final = 5
"""The timers are due first in this minute, then once per hour."""
SEEN: Final = 10
"""Minutes after which a run is seen at the latest, by the default of `timers.interval`."""
PENDING: Final = 4
"""Minutes of `for`, and of refreshes and evaluations."""
QUIET: Final = WorldOptions(
    databases=2,
    tables=12,
    partitions=0,
    untouched_share=1.0,
    job_seconds=600.0,
    running_jobs_per_source=0,
    finished_jobs_per_source=0,
    idle_share=0.0,
    stopped_share=0.0,
    failure_rate=0.0,
    incidents=False,
    special_sources=False,
)
Actions = dict[int, Callable[[World], object]]
"""What happens in which minute."""


def add_timer(world: World, source_id: int, failure_rate: float = 0.0) -> None:
    """Create an hourly timer for the first database of a source."""
    site, value = world.site(source_id), f"{(int(world.start // 60) + DUE) % 60:02d}"
    facts: dict[str, Any] = {"name": "hourly", "schedule_type": "Hourly", "value": value, "failure_rate": failure_rate}
    apply_event(world, events.CreateTimer(source_id=source_id, database=site.source.database_name(1), **facts))


async def recorded(world: World, clock: ManualClock, minutes: int, actions: Actions) -> WeekSamples:
    """Return what the exporter serves in each minute."""
    recording = WeekSamples(clock())
    async with Simulator(world, identities=[IDENTITY]) as simulator, harness_on(config_on(simulator.url), clock) as on:
        on.telemetry.note_load(clock(), is_current=True)
        for minute in range(minutes):
            if minute in actions:
                actions[minute](world)
            recording.add(minute, await on.refresh())
            clock.advance(60)
    return recording


def alerts_by_minute(recording: WeekSamples, folder: Path, minutes: int) -> Iterator[set[tuple[str, str]]]:
    """Yield the alerts that notify in each minute, with their source."""
    for step in firing_alerts(recording, folder, "PROMTOOL", steps=minutes, step_seconds=60):
        active = map(dict, RoutedAlerts().active(step))
        yield {(each["alertname"], each.get("source", "")) for each in active if each["severity"] != "info"}


async def test_a_skipped_run_notifies_and_a_retried_job_does_not(tmp_path: Path) -> None:
    clock, minutes = ManualClock(), 145
    world = World(replace(QUIET, sources=2), clock=clock)
    held, failing = world.source_ids()
    add_timer(world, held)
    add_timer(world, failing, failure_rate=1.0)
    actions: Actions = {
        DUE + 2: lambda world: apply_event(world, events.Stall(source_id=held)),
        DUE + 20: lambda world: apply_event(world, events.RetryFailed(source_id=failing)),
        DUE + 100: lambda world: apply_event(world, events.Stall(source_id=held, stalled=False)),
    }
    recording = await recorded(world, clock, minutes, actions)
    alerts = list(alerts_by_minute(recording, tmp_path, minutes))

    names = {site.id: site.source.name for site in world.sites()}
    missed = [minute for minute, found in enumerate(alerts) if ("MmsScheduleMissed", names[held]) in found]
    assert DUE + 90 <= missed[0] <= DUE + 90 + PENDING
    assert DUE + 120 <= missed[-1] + 1 <= DUE + 120 + SEEN + 1
    assert missed == list(range(missed[0], missed[-1] + 1))
    assert {name for found in alerts for name, source in found if source == names[held]} == {"MmsScheduleMissed"}

    of_failing = [{name for name, source in found if source == names[failing]} for found in alerts]
    assert set().union(*of_failing[: DUE + 30]) & {"MmsJobFailed", "MmsFailureReasonDominates"}
    assert of_failing[DUE + 50 :] == [set()] * (minutes - DUE - 50)
    assert "MmsScheduledRunFailed" not in set().union(*of_failing)
    assert last_run_failed(recording, names[failing], DUE + 50), "although the run stays FAILED"


def last_run_failed(recording: WeekSamples, source: str, minute: int) -> bool:
    """Return whether the status of the last run is FAILED."""
    wanted = {("source", source), ("status", "FAILED")}
    return any(
        samples[minute] == 1
        for (name, labels), samples in recording.samples.items()
        if name == "mms_timer_last_run_status" and wanted <= labels
    )


async def test_a_run_that_creates_no_job_notifies_for_a_while(tmp_path: Path) -> None:
    clock, minutes = ManualClock(), DUE + 50
    world = World(replace(QUIET, sources=1, async_task_failure_rate=1.0), clock=clock)
    add_timer(world, *world.source_ids())
    alerts = list(alerts_by_minute(await recorded(world, clock, minutes, {}), tmp_path, minutes))
    (source,) = (site.source.name for site in world.sites())
    assert set().union(*alerts) == {("MmsScheduledRunFailed", source)}
    notified = [minute for minute, found in enumerate(alerts) if found]
    assert notified[0] <= DUE + SEEN + PENDING
    assert DUE + 29 <= notified[-1] <= DUE + 30 + SEEN
    assert notified == list(range(notified[0], notified[-1] + 1))
