"""The promise of docs/compatibility.md for metrics: names, types and labels stay, and new ones are written down.

`UPDATE_GOLDEN=1` adds new metrics. A line that leaves or changes is a decision, and somebody's to take out by hand.
"""

import os
from pathlib import Path

from docs.build import own_metrics
from exporter.exposition.families.metric_table import METRIC_GROUPS

GOLDEN = Path(__file__).parent.parent / "golden" / "metrics.txt"
PROMISE = (
    "docs/compatibility.md promises name, type and labels of these metrics, which dashboards and alert rules rest on. A"
    " new label counts as a change, since it breaks joins. Keep the old one for a version beside what takes its place,"
    ' say so in the changelog under "Changed" or "Removed", raise the number that the promise names, and only then'
    f" take the line out of tests/golden/{GOLDEN.name}:"
)
NEW = f"from here on their names, types and labels stay: UPDATE_GOLDEN=1 adds them to tests/golden/{GOLDEN.name}:"


def metrics() -> set[str]:
    """Return name, type and labels of each metric that the code has, whose order means nothing."""
    shown = {(each.name, "gauge", part.labels_of(each)) for part in METRIC_GROUPS for each in part.families}
    for metric, labels in own_metrics():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        shown.add((name, metric.type, labels))
    return {" ".join((name, kind, ",".join(sorted(labels)))).rstrip() for name, kind, labels in shown}


def promised() -> set[str]:
    return set(GOLDEN.read_text(encoding="utf-8").splitlines())


def told(head: str, lines: set[str]) -> str:
    return "\n".join((head, *sorted(lines)))


def test_no_metric_that_was_promised_is_gone_or_changed() -> None:
    broken = promised() - metrics()
    assert not broken, told(PROMISE, broken)


def test_each_metric_is_promised() -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text("\n".join(sorted(promised() | metrics())) + "\n", encoding="utf-8")
    new = metrics() - promised()
    assert not new, told(NEW, new)
