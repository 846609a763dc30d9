"""What a query names: metrics, and the labels it asks of them. A reader of names, not of PromQL: promtool is that."""

import re
from collections.abc import Iterator, Mapping

from tests.exported import exported_metrics

TOKEN = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*")
    | \b(?:by|without|on|ignoring|group_left|group_right)\s*\((?P<grouping>[^)]*)\)
    | (?<![\w:])(?P<metric>(?:mms[_:]|up\b|process_|python_)[\w:]*)\s*(?P<matchers>\{[^}]*\})?
    """,
    re.VERBOSE,
)
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")

FROM_PROMETHEUS = frozenset({"job", "instance"})
LEVELS = {
    "replica": frozenset({"job", "instance", "account", "source_id", "source"}),
    "source_id": frozenset({"job", "account", "source_id"}),
    "source": frozenset({"job", "account", "source_id", "source"}),
    "account": frozenset({"job", "account"}),
    "all": frozenset({"job"}),
    "threshold": frozenset[str](),
    "link": frozenset({"url"}),
}
"""The labels of a recorded series by its level."""
OF_RECORDS = frozenset({"kind", "reason", "status", "unit", "window"})
"""Labels that come on top where a recorded series has them."""


def metric_table() -> dict[str, frozenset[str]]:
    """Return every metric of the exporter as it is scraped, with its labels, and `up`."""
    return {name: labels | FROM_PROMETHEUS for name, labels in {**exported_metrics(), "up": frozenset()}.items()}


def metrics_of(query: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each metric a query selects, with the labels its matchers name."""
    for found in TOKEN.finditer(query):
        if found["metric"]:
            yield found["metric"], frozenset(MATCHER.findall(found["matchers"] or ""))


def groupings_of(query: str) -> frozenset[str]:
    """Return the labels that a query groups, joins or drops by."""
    named = ",".join(found["grouping"] for found in TOKEN.finditer(query) if found["grouping"])
    return frozenset(label.strip() for label in named.split(",")) - {""}


def labels_of(metric: str, table: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """Return the labels a metric or a recorded series can have; None where there is no such metric."""
    if metric.startswith("mms:"):
        return LEVELS[metric.split(":")[1]] | OF_RECORDS
    return table.get(metric)
