"""Exclusions of `dashboard-linter`, each with its reason: `grafana/dashboards/.lint`.

Generated from the queries, so that a selector that lacks `$job` or `$instance` by mistake is still reported on a
dashboard that has these variables.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_SELECTOR: Final = re.compile(r"\b(mms:[\w:]+|ALERTS(?:_FOR_STATE)?)\b(\{[^}]*\})?")
REASONS: Final = {
    "target-instance-rule": "Recorded series and alerts count replicas once and have no instance; thresholds have no "
    "labels.",
    "target-job-rule": "Some alerts, such as an absent exporter, have no job; thresholds have no labels.",
}


_NO_VARIABLE: Final = "Only the dashboard of the exporter selects jobs and instances; the others show what MMS reports."


def exclusions(dashboards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of `.lint` for the built dashboards."""
    rules = {
        f"target-{label}-rule": {
            "reason": REASONS[f"target-{label}-rule"],
            "entries": [entry for dashboard in dashboards for entry in _entries(dashboard, label)],
        }
        for label in ("instance", "job")
    }
    lacking = {
        f"template-{label}-rule": {
            "reason": _NO_VARIABLE,
            "entries": [_whole(dashboard) for dashboard in dashboards if not _offers(dashboard, label)],
        }
        for label in ("instance", "job")
    }
    return {"exclusions": rules | lacking}


def _offers(dashboard: Mapping[str, Any], label: str) -> bool:
    return any(variable["name"] == label for variable in dashboard["templating"]["list"])


def _whole(dashboard: Mapping[str, Any]) -> dict[str, str]:
    return {"reason": _NO_VARIABLE, "dashboard": dashboard["title"]}


def _entries(dashboard: Mapping[str, Any], label: str) -> Iterator[dict[str, str]]:
    if not _offers(dashboard, label):
        yield _whole(dashboard)
        return
    for panel in dashboard["panels"]:
        for index, target in enumerate(panel.get("targets", ())):
            if excused := sorted(_without(target["expr"], label)):
                yield {
                    "reason": f"{', '.join(excused)}: {REASONS[f'target-{label}-rule']}",
                    "dashboard": dashboard["title"],
                    "panel": panel["title"],
                    "targetidx": str(index),
                }


def _without(expr: str, label: str) -> set[str]:
    """Return a query's recorded series and alerts without that label."""
    return {name for name, matchers in _SELECTOR.findall(expr) if f'{label}=~"${label}"' not in matchers}
