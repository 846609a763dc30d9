"""Lists by status may include stopped jobs or omit them; a source has several pages of jobs."""

from collections import Counter
from dataclasses import replace

import pytest

from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.collect.conftest import HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

SOURCE = 2000001
OPTIONS = WorldOptions(
    sources=2,
    databases=1,
    finished_jobs_per_source=150,
    running_jobs_per_source=4,
    idle_share=0.0,
    special_sources=False,
    incidents=False,
)
by_both_readings = pytest.mark.parametrize("hides_stopped", [False, True])


def assert_shown(served: Exposition, simulator: Simulator) -> None:
    for source_id in (SOURCE, SOURCE + 1):
        jobs, source = list(simulator.world.truth().jobs(source_id)), {"source_id": str(source_id)}
        counts = Counter(str(job.status) for job in jobs)
        assert served.by("mms_jobs", "status", **source) == {"INIT": 0, "DOING": 0, "DONE": 0, "FAILED": 0, **counts}
        stopped = {str(job.id): float(bool(job.stopped)) for job in jobs if job.status in ("INIT", "DOING")}
        shown = served.by("mms_job_stopped", "job_id", **source)
        assert {key: shown.get(key) for key in stopped} == stopped
        assert served.value("mms_jobs_stopped", **source) == sum(stopped.values())


@by_both_readings
async def test_stopped_jobs_are_counted_and_shown(clock: ManualClock, *, hides_stopped: bool) -> None:
    world = World(replace(OPTIONS, stopped_share=1.0, hides_stopped=hides_stopped), clock=clock)
    async with (
        Simulator(world, identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        for _ in range(3):
            assert_shown(await harness.refresh(), simulator)
            clock.advance(60)
            simulator.calls_reset()
        served = await harness.refresh()
        assert served.value("mms_jobs_stopped", source_id=str(SOURCE)) == 1
        assert simulator.calls["ListMmsJobs", SOURCE] <= (7 if hides_stopped else 5)


@by_both_readings
async def test_a_job_that_somebody_stops_is_shown_at_the_next_refresh(
    clock: ManualClock, *, hides_stopped: bool
) -> None:
    world = World(replace(OPTIONS, stopped_share=0.0, hides_stopped=hides_stopped), clock=clock)
    async with (
        Simulator(world, identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        assert_shown(await harness.refresh(), simulator)
        jobs = [job.id for job in simulator.world.truth().jobs(SOURCE) if job.status == "DOING"]
        for job_id in jobs[:3]:
            apply_event(simulator.world, events.StopJob(source_id=SOURCE, job_id=job_id))
        served = await harness.refresh()
        assert served.value("mms_jobs_stopped", source_id=str(SOURCE)) == len(jobs[:3])
        assert_shown(served, simulator)
        clock.advance(60)
        assert_shown(await harness.refresh(), simulator)


async def test_a_server_without_the_filter_is_not_asked_for_all_jobs(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_history(500)
    mms.add_job(1, "INIT", stopped=True)
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert (served.value("mms_jobs", status="INIT"), served.value("mms_jobs_stopped")) == (1, 1)
        assert served.value("mms_jobs", status="DONE") == 500
        assert mms.calls["stopped"] == 1, "one page shows that the filter is ignored"


async def test_a_job_that_is_stopped_between_two_lists_proves_nothing(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """It is absent from the lists because its status changed; the DONE jobs that were stopped stay counted once."""
    mms.add_history(150)
    for job in mms.jobs[:3]:
        job["stopped"] = True
    running = mms.add_job(1, "DOING")

    def fall_back(word: str) -> None:
        if word == "DOING":
            running.update(status="INIT", stopped=True)

    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        mms.before_list = fall_back
        for _ in range(3):
            served = await harness.refresh()
            assert served.value("mms_jobs", status="DONE") == 150
            assert served.value("mms_jobs_stopped") == 1
            clock.advance(60)


async def test_a_failed_job_that_was_stopped_is_counted_where_lists_hide_it(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.hides_stopped = True
    mms.add_history(150)
    mms.add_job(1, "FAILED", stopped=True)
    async with harness_on(config_on(mms_url), clock) as harness:
        for _ in range(3):
            served = await harness.refresh()
            assert served.value("mms_jobs", status="FAILED") == 1
            assert served.value("mms_jobs", status="DONE") == 150
            assert served.value("mms_job_status", job_id="1", status="FAILED") == 1
            clock.advance(60)
