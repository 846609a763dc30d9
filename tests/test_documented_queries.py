"""The queries in docs/metrics.md have the results it shows, and its label values are those that are served."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from docs.build import own_metrics
from docs.label_values import (
    COLLECTOR_MEANINGS,
    FAILURE_MEANINGS,
    KIND_MEANINGS,
    OPERATION_MEANINGS,
    PHASE_MEANINGS,
    REASON_MEANINGS,
    STATUSES,
)
from docs.queries import FILE, groups
from exporter.errors import REASONS
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.exposition.telemetry import OPERATIONS
from tests.exposition_parser import Exposition, read
from tests.recorded_demo import END, pages, prometheus_with_the_demo

QUERIES = [query for group in groups() for query in group["queries"]]
OWN = [f"{metric.name}_total" if metric.type == "counter" else metric.name for metric, _ in own_metrics()]
FAMILIES = [*([family.name for family in part.families] for part in METRIC_GROUPS), OWN]


def shown(series: dict[str, Any]) -> str:
    """Return a series of a result as the page shows it."""
    labels = {name: value for name, value in series["metric"].items() if name not in {"__name__", "instance", "job"}}
    text = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{text}}} {round(float(series['value'][1]), 3):.15g}"


async def result_of(session: ClientSession, url: str, query: str) -> list[str]:
    """Return the lines of the result of a query at the end of the recording."""
    async with session.get(f"{url}/api/v1/query", params={"query": query, "time": f"{END:.0f}"}) as response:
        answer = await response.json()
    assert answer["status"] == "success", answer
    assert "warnings" not in answer
    return sorted(map(shown, answer["data"]["result"]))


@pytest.mark.long
async def test_every_query_has_the_result_that_the_page_shows(tmp_path: Path) -> None:
    """One Prometheus answers all of them."""
    async with prometheus_with_the_demo(tmp_path) as url, ClientSession() as session:
        results = [await result_of(session, url, query["query"]) for query in QUERIES]
    if os.environ.get("UPDATE_QUERIES"):
        write(results)
    assert results == [query["result"] for query in QUERIES]


def write(results: list[list[str]]) -> None:
    """Write the results into queries.yaml, whose comments and layout stay."""
    found = iter(results)

    def replaced(match: re.Match[str]) -> str:
        lines = next(found)
        quoted = [f"{match[1]}  - '{line}'\n" for line in lines]
        return "".join((f"{match[1]}result:\n", *quoted)) if lines else f"{match[1]}result: []\n"

    text = FILE.read_text(encoding="utf-8")
    FILE.write_text(re.sub(r"^( +)result:.*\n(?:\1  - .*\n)*", replaced, text, flags=re.MULTILINE), encoding="utf-8")


@pytest.mark.parametrize("group", groups(), ids=lambda group: group["group"])
def test_every_group_has_two_or_three_queries_over_metrics_that_exist(group: dict[str, Any]) -> None:
    known = {name for families in FAMILIES for name in families}
    assert len(group["queries"]) in {2, 3}
    for query in group["queries"]:
        named = set(re.findall(r"\bmms_[a-z_]+", query["query"]))
        assert named
        assert named <= known


@pytest.mark.parametrize("families", FAMILIES, ids=lambda families: families[0])
def test_every_part_of_the_metrics_has_a_query(families: list[str]) -> None:
    assert any(re.search(rf"\b{name}\b", query["query"]) for name in families for query in QUERIES)


@pytest.fixture(scope="module")
def served() -> Exposition:
    """Return what is served of the demo's world after an hour, with every collector enabled."""

    async def scraped() -> list[str]:
        return [page async for _, page in pages()]

    *_, page = asyncio.run(scraped())
    return read(page.encode())


def values_of(served: Exposition, label: str) -> dict[str, set[str]]:
    """Return the values of a label, by metric."""
    pairs = [(metric, dict(labels)) for metric, series in served.samples.items() for labels in series]
    metrics = {metric for metric, labels in pairs if label in labels}
    return {metric: {labels[label] for name, labels in pairs if name == metric} for metric in metrics}


@pytest.mark.parametrize(
    ("label", "documented"),
    [
        ("reason", REASON_MEANINGS),
        ("collector", COLLECTOR_MEANINGS),
        ("operation", OPERATION_MEANINGS),
        ("kind", KIND_MEANINGS),
        ("phase", PHASE_MEANINGS),
    ],
)
def test_a_closed_label_has_the_values_that_the_page_lists(
    served: Exposition, label: str, documented: dict[str, str]
) -> None:
    by_metric = values_of(served, label)
    assert by_metric.pop("mms_failed_task_reasons", set(FAILURE_MEANINGS)) == set(FAILURE_MEANINGS)
    assert set().union(*by_metric.values()) == set(documented)


def test_every_reason_and_operation_of_the_code_is_listed() -> None:
    assert set(REASON_MEANINGS) == set(REASONS)
    assert set(OPERATION_MEANINGS) == set(OPERATIONS)


def test_every_status_that_is_served_is_listed(served: Exposition) -> None:
    with_status = {
        family.name for part in METRIC_GROUPS for family in part.families if "status" in part.labels_of(family)
    }
    assert set(STATUSES) == with_status
    found = values_of(served, "status")
    assert set(found) == with_status
    assert all(found[metric] <= set(STATUSES[metric]) for metric in found)
    states = [metric for metric in STATUSES if metric.endswith("_status") and "by_status" not in metric]
    assert {metric: found[metric] for metric in states} == {metric: set(STATUSES[metric]) for metric in states}
