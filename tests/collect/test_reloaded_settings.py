"""Settings that a reload changes, over what was read with those before: they hold from the next refresh."""

from collections.abc import Mapping, Sequence

import pytest

from exporter.config.loading import Config
from exporter.simulator import ManualClock
from tests.collect.conftest import HandWrittenMms
from tests.conftest import config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

BOUNDS = pytest.mark.parametrize(("before", "after"), [(2, 5), (5, 2)], ids=["raised", "lowered"])


async def refreshed_over(configs: Sequence[Config], clock: ManualClock) -> Exposition:
    """Return what is served once MMS was read with one configuration, and again with another after a reload."""
    async with harness_on(configs[0], clock) as old, harness_on(configs[1], clock) as new:
        await old.refresh()
        await old.refresh()
        new.refresher.inherit_from(old.refresher)
        return await new.refresh()


@BOUNDS
async def test_a_new_bound_of_failures_holds_while_no_count_moves(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, before: int, after: int
) -> None:
    mms.fail_tables(*((number, "sales", f"orders_{number}") for number in range(7)))
    mms.fail_partitions(*((number, "sales", "clicks", f"ds={number}") for number in range(7)))
    configs = [config_on(mms_url, failures={"max_per_source": bound}) for bound in (before, after)]
    served = await refreshed_over(configs, clock)
    newest = range(7 - after, 7)
    assert set(served.by("mms_failed_table_info", "table")) == {f"orders_{number}" for number in newest}
    assert set(served.by("mms_failed_partition_info", "partition")) == {f"ds={number}" for number in newest}
    assert served.by("mms_failed_omitted", "kind") == {"table": 7 - after, "partition": 7 - after}


@pytest.mark.parametrize("running", [0, 1], ids=["idle", "busy"])
@BOUNDS
async def test_a_new_bound_of_jobs_holds_while_no_failed_job_changes(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, before: int, after: int, running: int
) -> None:
    mms.page_cap = 3  # the first page alone is not enough
    for number in range(7 - running):
        mms.add_job(number, "FAILED")
    for number in range(7 - running, 7):
        mms.add_job(number, "DOING")
    configs = [config_on(mms_url, jobs={"max_series_per_source": bound}) for bound in (before, after)]
    served = await refreshed_over(configs, clock)
    assert set(served.by("mms_job_info", "job_id")) == {str(number) for number in range(7 - after, 7)}
    assert served.value("mms_jobs", status="FAILED") == 7 - running


CHANGES: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    "bound": ({}, {"jobs": {"max_series_per_source": 5}}),
    "time zone": ({"time_zone": "Asia/Tokyo"}, {}),
}


@pytest.mark.parametrize(("account", "sections"), CHANGES.values(), ids=CHANGES)
async def test_a_job_that_lingers_does_so_over_a_reload(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, account: Mapping[str, object], sections: Mapping[str, object]
) -> None:
    job = mms.add_job(1, "DOING")
    config = config_on(mms_url)
    async with harness_on(config, clock) as old, harness_on(config_on(mms_url, account, **sections), clock) as new:
        await old.refresh()
        job["status"] = "DONE"
        await old.refresh()
        new.refresher.inherit_from(old.refresher)
        served = await new.refresh()
        assert served.value("mms_job_status", job_id="1", status="DONE") == 1


async def test_a_job_that_lingers_into_a_new_time_zone_tells_no_time_of_the_old_one(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """No list that is read holds it any more, where the jobs do not fit one page."""
    job = mms.add_job(1, "DOING", eta="2025-01-02 00:00:00")
    mms.add_history()
    zones = [config_on(mms_url, {"time_zone": zone}) for zone in ("Asia/Shanghai", "Asia/Tokyo")]
    async with harness_on(zones[0], clock) as old, harness_on(zones[1], clock) as new:
        await old.refresh()
        job["status"] = "DONE"
        assert (await old.refresh()).value("mms_job_eta_timestamp_seconds") is not None
        new.refresher.inherit_from(old.refresher)
        served = await new.refresh()
        assert not {"mms_job_created_timestamp_seconds", "mms_job_eta_timestamp_seconds"} & served.samples.keys()


async def test_a_job_that_lingers_into_a_new_time_zone_tells_the_new_times_where_a_page_shows_it(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    job = mms.add_job(1, "DOING")
    zones = [config_on(mms_url, {"time_zone": zone}) for zone in ("Asia/Shanghai", "Asia/Tokyo")]
    async with harness_on(zones[0], clock) as old, harness_on(zones[1], clock) as new:
        await old.refresh()
        job["status"] = "DONE"
        in_shanghai = (await old.refresh()).value("mms_job_created_timestamp_seconds")
        new.refresher.inherit_from(old.refresher)
        in_tokyo = (await new.refresh()).value("mms_job_created_timestamp_seconds")
    assert in_shanghai is not None
    assert in_tokyo == in_shanghai - 3600


@pytest.mark.parametrize(("linger", "minutes", "jobs"), [("5m", 10, 0), ("1h", 20, 1)], ids=["lowered", "raised"])
async def test_a_new_time_to_linger_holds_for_those_that_linger(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, linger: str, minutes: int, jobs: int
) -> None:
    job = mms.add_job(1, "DOING")
    configs = [config_on(mms_url, jobs={"linger": each}) for each in ("15m", linger)]
    async with harness_on(configs[0], clock) as old, harness_on(configs[1], clock) as new:
        await old.refresh()
        job["status"] = "DONE"
        await old.refresh()
        new.refresher.inherit_from(old.refresher)
        clock.advance(minutes * 60)
        assert len((await new.refresh()).by("mms_job_info", "job_id")) == jobs


async def test_tasks_are_read_anew_where_jobs_no_longer_tell_that_none_runs(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """A source that was at rest by its jobs is not by its tasks, one of which has not ended."""
    mms.add_job(1, "DONE")
    mms.add_tasks(1, "DATA_DOING")
    jobs, tasks = {"enabled": False}, {"enabled": True}
    async with (
        harness_on(config_on(mms_url, tasks=tasks), clock) as old,
        harness_on(config_on(mms_url, jobs=jobs, tasks=tasks), clock) as new,
    ):
        await old.refresh()
        new.refresher.inherit_from(old.refresher)
        mms.tasks[0]["status"] = "DONE"
        assert (await new.refresh()).value("mms_tasks", status="DONE") == 1


async def test_a_source_is_left_alone_for_the_new_idle_interval(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    configs = [config_on(mms_url, jobs={"idle_interval": each}) for each in ("10m", "2m")]
    async with harness_on(configs[0], clock) as old, harness_on(configs[1], clock) as new:
        await old.refresh()
        new.refresher.inherit_from(old.refresher)
        await new.refresh()
        mms.calls.clear()
        clock.advance(119)
        await new.refresh()
        assert mms.calls["all"] == 0
        clock.advance(2)
        await new.refresh()
        assert mms.calls["all"] == 1


async def test_what_is_watched_from_now_on_is_read_beside_what_was_watched_before(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders")
    mms.add_table(2, "sales", "clicks")
    configs = [
        config_on(mms_url, watch={"tables": [{"source": "hive-a", "table_ids": ids}]}) for ids in ([1], [1, 2], [2])
    ]
    assert set((await refreshed_over(configs[:2], clock)).by("mms_table_info", "table")) == {"orders", "clicks"}
    assert set((await refreshed_over(configs[1:], clock)).by("mms_table_info", "table")) == {"clicks"}
