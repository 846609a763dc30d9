"""docs/compatibility.md promises that metric names, types and labels stay.

`UPDATE_GOLDEN=1` adds new metrics. Removed or changed lines are edited by hand, because they break the promise.
"""

import os
from pathlib import Path

from docs.build import own_metrics
from exporter.exposition.families.metric_table import METRIC_GROUPS

GOLDEN = Path(__file__).parent.parent / "golden" / "metrics.txt"
PROMISE = (
    "docs/compatibility.md promises name, type and labels of these metrics, which dashboards and alert rules use. A new"
    " label is also a change: it breaks joins. Keep the old metric for one version beside its replacement, list it in"
    ' the changelog under "Changed" or "Removed", raise the version number that the promise names, and then remove the'
    f" line from tests/golden/{GOLDEN.name}:"
)
NEW = f"new metrics, whose names, types and labels must stay: UPDATE_GOLDEN=1 adds them to tests/golden/{GOLDEN.name}:"


def metrics() -> set[str]:
    """Return name, type and sorted labels of each metric in the code."""
    found = {(each.name, "gauge", group.labels_of(each)) for group in METRIC_GROUPS for each in group.families}
    for metric, labels in own_metrics():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found.add((name, metric.type, labels))
    return {" ".join((name, kind, ",".join(sorted(labels)))).rstrip() for name, kind, labels in found}


def promised() -> set[str]:
    return set(GOLDEN.read_text(encoding="utf-8").splitlines())


def listing(title: str, lines: set[str]) -> str:
    return "\n".join((title, *sorted(lines)))


def test_no_promised_metric_is_missing_or_changed() -> None:
    broken = promised() - metrics()
    assert not broken, listing(PROMISE, broken)


def test_each_metric_is_promised() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text("\n".join(sorted(promised() | metrics())) + "\n", encoding="utf-8")
    new = metrics() - promised()
    assert not new, listing(NEW, new)
