"""Generate the section "Queries" of docs/metrics.md from queries.yaml.

A test runs each query on a real Prometheus.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

FILE: Final = Path(__file__).parent / "queries.yaml"
NO_RESULT: Final = "(no result)"
HEAD: Final = """## Queries

The results are from a simulated account with 12 data sources, 1 simulated hour after the start of
`mms-exporter demo --simulator.scenario=endless --simulator.sources=12`, with `tasks.enabled`, an hourly
timer of each data source, two watched tables and one watched partition. The labels `instance` and `job` and the metric
name are left out of the results. Values are rounded to 3 decimals.
"""


def groups() -> list[dict[str, Any]]:
    """Return the groups of metrics with their queries."""
    loaded: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return loaded


def queries() -> Iterator[str]:
    """Yield the lines of the section."""
    yield HEAD
    for group in groups():
        yield f"### {group['group']}\n"
        for query in group["queries"]:
            result = "\n".join(query["result"]) or NO_RESULT
            yield f"{query['question']}\n"
            yield f"```promql\n{query['query'].rstrip()}\n```\n"
            yield f"```text\n{result}\n```\n"
