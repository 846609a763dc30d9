"""What Grafana would ask Prometheus: the queries of the dashboards, with their variables filled in."""

import re
from collections.abc import Iterator
from typing import Final

from tests.grafana.checked_in import Asked, dashboard, panels, queries
from tests.story.servers import Prometheus, Series
from tests.story.time_scale import stretched

RATE_INTERVAL: Final = stretched(2)
"""Not less than four scrapes, which is how Grafana takes it."""
STEP: Final = stretched(0.5)
_VARIABLE: Final = re.compile(r"label_values\((.+), (\w+)\)")
_OFTEN_EMPTY: Final = {"database", "project"}
"""Variables of which All includes nothing."""


def queries_over_time(name: str) -> Iterator[Asked]:
    """Yield the queries of a dashboard's panels and annotations."""
    return (asked for asked in queries(name) if ": variable " not in asked.where)


def variables(name: str) -> Iterator[tuple[str, str]]:
    """Yield the selector and the label of each of a dashboard's variables."""
    for variable in dashboard(name)["templating"]["list"]:
        if variable["type"] == "query":
            found = _VARIABLE.fullmatch(variable["query"])
            assert found, variable["query"]
            yield found[1], found[2]


def filled_in(expr: str, seconds: float = 1.0, account: str = ".+") -> str:
    """Return a query over so many seconds with its variables: an account, and All of everything else."""
    known = {
        "__rate_interval": RATE_INTERVAL,
        "__interval": STEP,
        "__range": f"{max(1, round(seconds))}s",
        "account": account,
    }

    def value(found: re.Match[str]) -> str:
        return known.get(found[1]) or (".*" if found[1] in _OFTEN_EMPTY else ".+")

    return re.sub(r"\$(\w+)", value, expr)


def has_figures(found: list[Series]) -> bool:
    """Tell whether anything was found that is a number."""
    return any(value != "NaN" for series in found for _, value in series["values"])


async def figure(prometheus: Prometheus, title: str, moment: float, account: str) -> float | None:
    """Return what a figure of the overview's first row shows at a moment; None where it is unknown."""
    (panel,) = [panel for panel in panels("overview") if panel["title"] == title and panel["type"] == "stat"]
    (target,) = panel["targets"]
    found = await prometheus.at(filled_in(target["expr"], account=account), moment)
    assert len(found) < 2
    return float(found[0]["value"][1]) if found else None
