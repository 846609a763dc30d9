"""Data sources that come and go, or change name, type or type of their id."""

from collections.abc import Callable, Iterable

import msgspec
import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter.exposition.text import Format
from exporter.simulator import Fault, ManualClock, Simulator, apply_event
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.exposition_parser import Exposition, read
from tests.faults.stage import DOMAIN, FAULTY_SOURCE, STALE_AFTER, Series, domain
from tests.harness import harness_on

FRESHNESS = {"mms_datasource_refresh_success", "mms_datasource_refresh_last_success_timestamp_seconds"}
"""Labels that stay while a data source is known."""

HOSTILE = 'x"} 1\nmms_up{account="forged"} 0\n# HELP mms_up forged\r\\ \u2028 \x00 🦆'


async def test_after_every_change_the_next_refresh_equals_a_new_exporter(
    simulator: Simulator, clock: ManualClock
) -> None:
    changes: list[events.Event] = [
        events.AddSource(name="new"),
        events.RenameSource(source_id=2_000_001, name="renamed"),
        events.SetType(source_id=2_000_002, source_type="Databricks"),
        events.RemoveSource(source_id=2_000_003),
        events.RenameSource(source_id=2_000_002, name="renamed"),
        events.AddSource(moving=False),
    ]
    config = config_on(simulator.url, tasks={"enabled": True})
    async with harness_on(config, clock) as harness:
        await harness.refresh()
        for change in changes:
            apply_event(simulator.world, change)
            served = domain(await harness.refresh())
            async with harness_on(config, clock) as new:
                assert served == domain(await new.refresh()), change


async def test_an_id_of_another_type_drops_only_its_source(simulator: Simulator, clock: ManualClock) -> None:
    source = {"source_id": "2000001"}
    async with harness_on(config_on(simulator.url), clock) as harness:
        before = await harness.refresh()
        simulator.faults.add(Fault(kind="wrong_types", operation="ListMmsDataSources", fields=("id",), rows=1))
        served = await harness.refresh()
        assert served.having("mms_tables", **source) == before.having("mms_tables", **source)
        freshness = served.by("mms_datasource_refresh_success", "source_id")
        assert freshness == {each: float(each != "2000001") for each in freshness}
        assert len(freshness) == 6
        assert (served.value("mms_exporter_unexpected_values_total", field="row") or 0) > 0
        simulator.faults.clear()
        assert domain(await harness.refresh()) == domain(before)


@pytest.mark.parametrize(
    "given",
    [str(FAULTY_SOURCE), f" {FAULTY_SOURCE}\n", [FAULTY_SOURCE], True],
    ids=["digits", "spaced", "list", "bool"],
)
async def test_a_source_with_an_invalid_id_is_kept_until_stale_and_recovers(
    simulator: Simulator, clock: ManualClock, given: object
) -> None:
    """Its row is dropped even if all else is right: the vendor documents an integer, not digits in a string."""
    config = config_on(simulator.url, refresh={"interval": "1s", "stale_after": f"{STALE_AFTER:g}s"})
    async with harness_on(config, clock) as harness:
        before = await harness.refresh()
        row = msgspec.to_builtins(simulator.world.truth().data_sources()[FAULTY_SOURCE])
        simulator.faults.add(
            Fault(kind="broken_rows", operation="ListMmsDataSources", rows=1, value={**row, "id": given})
        )
        kept = await harness.refresh()
        assert figures(kept, FAULTY_SOURCE) == figures(before, FAULTY_SOURCE)
        assert kept.value("mms_datasource_refresh_success", source_id=str(FAULTY_SOURCE)) == 0
        assert kept.value("mms_exporter_unexpected_values_total", field="row") == 1
        clock.advance(STALE_AFTER + 1)
        served = await harness.refresh()
        simulator.faults.clear()
        async with harness_on(config, clock) as new:
            healthy = await new.refresh()
        assert not figures(served, FAULTY_SOURCE)
        others = simulator.world.truth().data_sources().keys() - {FAULTY_SOURCE}
        assert len(others) == 5
        assert [of_source(served, each) for each in others] == [of_source(healthy, each) for each in others]
        assert domain(await harness.refresh()) == domain(healthy)


def of_source(served: Exposition, source_id: int) -> dict[Series, float]:
    """Return the samples of a data source."""
    return {key: value for key, value in domain(served).items() if ("source_id", str(source_id)) in key[1]}


def figures(served: Exposition, source_id: int) -> dict[Series, float]:
    """Return the samples of a data source without its freshness."""
    return {key: value for key, value in of_source(served, source_id).items() if key[0] not in FRESHNESS}


@pytest.mark.parametrize(
    ("text_format", "families_in"), [("text", text_families), ("openmetrics", openmetrics_families)]
)
async def test_no_text_of_mms_can_forge_a_series_or_a_help_line(
    simulator: Simulator, clock: ManualClock, text_format: Format, families_in: Callable[[str], Iterable[Metric]]
) -> None:
    """Every text of every object is hostile; each page has the same number of series per family as before.

    The library's own parsers read it, too.
    """
    source_id = 2_000_001
    watch = {"tables": [{"source_id": source_id, "table_ids": [1]}]}
    config = config_on(simulator.url, watch=watch, tasks={"enabled": True})
    table = next(each for each in simulator.world.truth().tables(source_id) if each.id == 1)
    partition = next(simulator.world.truth().partitions(source_id))
    apply_event(simulator.world, events.Fail(source_id=source_id, table_ids=(table.id,), partition_ids=(partition.id,)))
    jobs = [job.id for job in simulator.world.truth().jobs(source_id)]
    objects = {
        "scan": ("scan_id", [0]),
        "timer": ("timer_id", [1]),
        "task": ("task_id", [task.id for task in simulator.world.truth().tasks(source_id)]),
        "database": ("database_id", [1]),
        "job": ("job_id", jobs),
        "table": ("table_id", [1]),
        "partition": ("partition_id", [partition.id]),
    }
    async with harness_on(config, clock) as harness:
        await harness.refresh()
        before = harness.publisher.body(text_format, gzip=False)
        for kind, fields in events.TEXT_FIELDS.items():
            name, ids = objects.get(kind, ("source_id", [source_id]))
            for field in fields - {"createTime", "lastUpdateTime", "eta", "lastDdlTime"}:
                for each in ids:
                    raw = {"type": "set_text", "source_id": source_id, "field": field, "text": HOSTILE, name: each}
                    apply_event(simulator.world, msgspec.convert(raw, events.SetText))
        await harness.refresh()
        page = harness.publisher.body(text_format, gzip=False)
    served = read(page)
    assert heads(page) == heads(before)
    assert sizes(served) == sizes(read(before))
    assert served.by("mms_up", "account") == {"test": 1}
    assert HOSTILE.strip() in {dict(labels)["source"] for labels in served.samples["mms_datasource_info"]}
    families = {family.name: len(family.samples) for family in families_in(page.decode()) if family.name in DOMAIN}
    assert families == sizes(served)


def heads(page: bytes) -> list[bytes]:
    return [line for line in page.split(b"\n") if line.startswith(b"#")]


def sizes(served: Exposition) -> dict[str, int]:
    """Return the number of series per MMS family."""
    return {name: len(samples) for name, samples in served.samples.items() if name in DOMAIN}
