"""Settings changed by a reload apply to inherited state from the next refresh."""

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
    """Refresh with each configuration in turn and return the last exposition."""
    async with harness_on(configs[0], clock) as old, harness_on(configs[1], clock) as new:
        await old.refresh()
        await old.refresh()
        new.refresher.inherit_from(old.refresher)
        return await new.refresh()


@BOUNDS
async def test_a_new_failure_limit_applies_to_unchanged_failures(
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


@BOUNDS
async def test_a_new_database_limit_applies_to_unchanged_databases(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, before: int, after: int
) -> None:
    for number in range(7):
        mms.add_database(number, f"db_{number}", size=number)
    configs = [config_on(mms_url, databases={"max_per_source": bound}) for bound in (before, after)]
    served = await refreshed_over(configs, clock)
    assert set(served.by("mms_database_rows", "src_db")) == {f"db_{number}" for number in range(7 - after, 7)}
    assert served.value("mms_database_series_omitted") == 7 - after


@pytest.mark.parametrize("running", [0, 1], ids=["idle", "busy"])
@BOUNDS
async def test_a_new_job_limit_applies_to_unchanged_failed_jobs(
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
async def test_a_job_lingers_across_a_reload(
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


async def test_a_new_time_zone_removes_the_times_of_lingering_jobs(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """No list contains it if the jobs do not fit one page."""
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


async def test_a_new_time_zone_applies_to_lingering_jobs_on_a_page(
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
async def test_a_new_linger_time_applies_to_lingering_jobs(
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


async def test_tasks_are_read_after_the_jobs_collector_is_disabled(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """All jobs have ended, but one task has not."""
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


async def test_a_new_idle_interval_applies_to_idle_sources(
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


async def test_newly_watched_objects_are_read_beside_earlier_ones(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_table(1, "sales", "orders")
    mms.add_table(2, "sales", "clicks")
    configs = [
        config_on(mms_url, watch={"tables": [{"source": "hive-a", "table_ids": ids}]}) for ids in ([1], [1, 2], [2])
    ]
    assert set((await refreshed_over(configs[:2], clock)).by("mms_table_info", "table")) == {"orders", "clicks"}
    assert set((await refreshed_over(configs[1:], clock)).by("mms_table_info", "table")) == {"clicks"}


async def test_a_new_time_zone_removes_the_times_of_timers_only(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_timer(1)
    mms.log_timer(1, "2025-06-02 02:00:00")
    zones = [config_on(mms_url, {"time_zone": zone}) for zone in ("Asia/Shanghai", "Asia/Tokyo")]
    async with harness_on(zones[0], clock) as old, harness_on(zones[1], clock) as new:
        assert (await old.refresh()).value("mms_timer_last_run_timestamp_seconds") is not None
        new.refresher.inherit_from(old.refresher)
        served = await new.served()
        assert served.value("mms_timer_info", timer_id="1") == 1
        assert "mms_timer_last_run_timestamp_seconds" not in served.samples
        assert "mms_timer_last_run_timestamp_seconds" in (await new.refresh()).samples
