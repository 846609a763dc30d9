"""Shards of one configuration: together they export each data source exactly once."""

from structlog.testing import capture_logs

from exporter.sharding import Shard
from exporter.simulator import ManualClock, Simulator
from tests.conftest import config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

WATCH = {"tables": [{"source_id": 2000001, "table_ids": [1]}, {"source_id": 2000002, "table_ids": [1]}]}


def series_of_sources(served: Exposition) -> list[tuple[str, object, float]]:
    """Return every series of data sources, without read times."""
    return [
        (family, labels, value)
        for family, samples in served.samples.items()
        for labels, value in samples.items()
        if "source_id" in dict(labels) and not family.endswith("last_success_timestamp_seconds")
    ]


async def test_all_shards_together_export_each_source_once(simulator: Simulator, clock: ManualClock) -> None:
    config = config_on(simulator.url, watch=WATCH, tasks={"enabled": True})
    async with harness_on(config, clock) as harness:
        whole = series_of_sources(await harness.refresh())
    assert {"mms_jobs", "mms_tasks", "mms_job_tasks_by_status", "mms_table_info"} <= {family for family, *_ in whole}
    united: list[tuple[str, object, float]] = []
    for index in range(3):
        with capture_logs() as logs:
            async with harness_on(config, clock, Shard(index, 3)) as harness:
                served = await harness.refresh()
        assert served.value("mms_up") == 1
        assert set(served.by("mms_refresh_success", "collector").values()) == {1}
        assert [line for line in logs if line["log_level"] == "warning"] == []
        part = series_of_sources(served)
        assert len(part) < len(whole)
        united += part
    assert sorted(united, key=repr) == sorted(whole, key=repr)


async def test_a_shard_costs_the_calls_of_its_own_sources(simulator: Simulator, clock: ManualClock) -> None:
    shard = Shard(1, 3)
    async with harness_on(config_on(simulator.url), clock, shard) as harness:
        await harness.refresh()
    asked = {source_id for _, source_id in simulator.calls if source_id is not None}
    assert asked == {source_id for source_id in range(2000001, 2000007) if shard.owns("test", source_id)}
