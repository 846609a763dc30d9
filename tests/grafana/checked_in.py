"""The dashboards as they are checked in, their queries taken apart, and the tools that judge them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SENTINEL: Final = "Z"
"""The query of a panel that says why the others have no result."""
ROOT: Final = Path(__file__).parents[2]
DIRECTORY: Final = ROOT / "grafana" / "dashboards"
UIDS: Final = {
    "overview": "mms-overview",
    "datasource": "mms-datasource",
    "jobs": "mms-jobs",
    "exporter": "mms-exporter",
    "wall": "mms-wall",
}
NAMES: Final = tuple(UIDS)

Json = dict[str, Any]


def dashboard(name: str) -> Json:
    """Return a dashboard as Grafana would load it."""
    loaded: Json = json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def panels(name: str) -> list[Json]:
    """Return its panels, without the headings of rows."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One query, and who asks it."""

    where: str
    expr: str
    legend: str = ""
    says_nothing: bool = False
    """Whether it has a result because the others of its panel have none."""


def queries(name: str) -> Iterator[Asked]:
    """Return every query of a dashboard: of its panels, annotations and variables."""
    loaded = dashboard(name)
    for panel in panels(name):
        for target in panel["targets"]:
            where = f"{name}: {panel['title']} {target['refId']}"
            yield Asked(where, target["expr"], target.get("legendFormat", ""), target["refId"] == SENTINEL)
    for annotation in loaded["annotations"]["list"]:
        yield Asked(f"{name}: annotation {annotation['name']}", annotation["expr"])
    for variable in loaded["templating"]["list"]:
        if variable["type"] == "query":
            expr = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"])
            assert expr, variable["query"]
            yield Asked(f"{name}: variable {variable['name']}", expr[1])


ALL_QUERIES: Final = [asked for name in NAMES for asked in queries(name)]


@dataclass(frozen=True, slots=True)
class Selector:
    """One selector of a query."""

    metric: str
    labels: frozenset[str]
    """Those it matches on."""


_WORDS: Final = re.compile(r"\b(?:by|on|ignoring|group_left|group_right|without|and|or|unless|bool|offset)\b")
_SELECTOR: Final = re.compile(r"(?<![\w:$])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|[\w:])")
_GROUPING: Final = re.compile(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)")


def selectors(expr: str) -> list[Selector]:
    """Return what a query selects. Neither functions nor grouping labels are selected."""
    bare = _WORDS.sub(",", re.sub(r"\[[^\]]*\]", "", _GROUPING.sub(" ", re.sub(r'"[^"]*"', '""', expr))))
    return [
        Selector(metric, frozenset(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)))
        for metric, matchers in _SELECTOR.findall(bare)
    ]


def grouping_labels(expr: str) -> set[str]:
    """Return the labels that a query groups or joins by."""
    lists = _GROUPING.findall(expr)
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}
