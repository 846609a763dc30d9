"""docs/sizing.md: its formula is held to what is served, its settings are tried, its examples are valid."""

import math
import re
import textwrap
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.build import FOLDER
from exporter.collect.collectors.reasons import LOGS_PER_REFRESH
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY, config_on
from tests.documented import blocks
from tests.exposition_parser import Exposition
from tests.harness import harness_on
from tests.programs import PROMTOOLS, ROOT, program, said

PAGE = FOLDER / "sizing.md"
EXAMPLES = FOLDER / "examples" / "sizing"
SCRAPING = EXAMPLES / "scrape.yml"
SERIES, _ = PAGE.read_text(encoding="utf-8").split("## Series", 1)[1].split("\n## ", 1)
COSTS = {what: int(cost) for what, cost in re.findall(r"^\| ([^|]+?) \| (\d+) \|", SERIES, re.MULTILINE)}
"""Series of each thing, from the page's table."""
WORLDS = [
    (WorldOptions(sources=1), {}),
    (WorldOptions(sources=12), {"tasks": {"enabled": True}}),
    (WorldOptions(sources=8, running_jobs_per_source=40, tables=160, failure_rate=0.3), {}),
    (WorldOptions(sources=6, timers=2), {"watch": {"tables": [{"source_id": 2000001, "table_ids": [1, 2]}]}}),
]


def number(served: Exposition, metric: str) -> int:
    return len(served.samples.get(metric, {}))


def formula(served: Exposition) -> int:
    """Return the number of series that the page expects for what is served."""
    things = {
        "exporter process": 1,
        "account": number(served, "mms_up"),
        "collector": number(served, "mms_refresh_success"),
        "data source": number(served, "mms_datasource_info"),
        "destination project of a data source": number(served, "mms_datasource_destination_info"),
        "data source, with `tasks.enabled`": number(served, "mms_tasks") // 11,
        "database with its own series": number(served, "mms_database_metadata_tables"),
        "timer": number(served, "mms_timer_info"),
        "job with its own series": number(served, "mms_job_info"),
        "unfinished job with its own series, with `tasks.enabled`": number(served, "mms_job_tasks_retried"),
        "failed table or partition with its own series": (
            number(served, "mms_failed_table_info") + number(served, "mms_failed_partition_info")
        ),
        "data source with failures": number(served, "mms_failed_tasks") // 3,
        "watched table": number(served, "mms_table_info"),
        "watched partition": number(served, "mms_partition_info"),
    }
    assert things.keys() == COSTS.keys()
    return sum(COSTS[what] * count for what, count in things.items())


async def refreshed(options: WorldOptions, refreshes: int = 1, **sections: Any) -> list[Exposition]:
    """Return what is served after each refresh of a world, a minute apart."""
    clock = ManualClock()
    pages = []
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, **sections), clock) as harness,
    ):
        for _ in range(refreshes):
            pages.append(await harness.refresh())
            clock.advance(60)
    return pages


@pytest.mark.parametrize(("options", "sections"), WORLDS)
async def test_the_formula_is_at_most_a_tenth_above_what_is_served(
    options: WorldOptions, sections: dict[str, Any]
) -> None:
    (served,) = await refreshed(options, **sections)
    count = sum(len(series) for series in served.samples.values())
    assert count <= formula(served) <= 1.1 * count


def most(served: Exposition, label: str, *others: str) -> int:
    """Return the largest number of series that have one value of a label, and none of the others."""
    labels = (dict(each) for series in served.samples.values() for each in series)
    counts = Counter(
        (each.get("source_id"), each[label]) for each in labels if label in each and not each.keys() & {*others}
    )
    return max(counts.values())


async def test_the_largest_rows_of_the_table_are_exact() -> None:
    """The slack of the sum would hide that a metric is missing in one of them."""
    (served,) = await refreshed(WORLDS[2][0])
    assert most(served, "account", "source_id", "collector") == COSTS["account"]
    assert most(served, "job_id") == COSTS["job with its own series"]
    assert most(served, "src_db", "job_id", "table") == COSTS["database with its own series"]


def test_the_sums_of_the_page_add_up() -> None:
    sums = re.findall(r"(\d+ \+\s[\d,+\xd7()\s]+) = ([\d,]+)", PAGE.read_text(encoding="utf-8"))
    assert len(sums) == 4
    for terms, result in sums:
        assert eval(terms.replace(",", "").replace("\xd7", "*")) == int(result.replace(",", ""))  # noqa: S307 - digits
        overhead = f"{COSTS['exporter process']} + {COSTS['account']} + "
        assert terms.startswith((overhead, "1 + ")), "the terms are those of the table, or calls"


def calls(served: Exposition) -> float:
    return sum(served.samples["mms_api_requests_total"].values())


def logs_read(served: Exposition) -> float:
    return served.value("mms_api_requests_total", operation="ListMmsTaskLogs") or 0


@pytest.mark.parametrize("sources", [10, pytest.param(100, marks=pytest.mark.scale)])
async def test_a_steady_refresh_fits_the_settings(sources: int) -> None:
    """With the recommended rate limit, the calls of a refresh take less than half of the interval."""
    raw = yaml.safe_load((EXAMPLES / f"{sources}-sources.yaml").read_text(encoding="utf-8"))
    sections = {name: section for name, section in raw.items() if name != "accounts"}
    pages = await refreshed(WorldOptions(sources=sources), refreshes=4, **sections)
    for before, after in pairwise(pages[1:]):
        logs = logs_read(after) - logs_read(before)
        most = calls(after) - calls(before)
        assert logs <= LOGS_PER_REFRESH
        assert most - logs <= math.ceil(sources / 100) + 2 * sources
        assert most / raw["accounts"][0]["rate_limit"] < 30


@pytest.mark.parametrize("file", sorted(EXAMPLES.iterdir()), ids=lambda file: file.name)
def test_the_page_shows_the_example_files(file: Path) -> None:
    shown = [textwrap.dedent(block) for block in blocks(PAGE, "yaml")]
    assert file.read_text(encoding="utf-8") in shown


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_promtool_accepts_the_scrape_configuration(promtool: str) -> None:
    code, output = said(program(promtool), "check", "config", SCRAPING)
    assert code == 0, output


def test_what_is_dropped_exists_and_nothing_shipped_uses_it() -> None:
    (job,) = yaml.safe_load(SCRAPING.read_text(encoding="utf-8"))["scrape_configs"]
    dropped = job["metric_relabel_configs"][0]["regex"].split("|")
    assert set(dropped) <= {family.name for part in METRIC_GROUPS for family in part.families}
    users = [
        *(ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"),
        *(ROOT / "grafana" / "dashboards").glob("*.json"),
    ]
    assert len(users) > 4
    texts = [file.read_text(encoding="utf-8") for file in users]
    assert [name for name in dropped for text in texts if re.search(rf"\b{name}\b", text)] == []
