"""The queries of the dashboards as Grafana sends them, with their variables substituted."""

import re
from collections.abc import Iterator
from typing import Final

from tests.grafana.checked_in import Asked, dashboard, panels, queries
from tests.story.servers import Prometheus, Series
from tests.story.time_scale import stretched

RATE_INTERVAL: Final = stretched(2)
"""At least 4 scrapes, as in Grafana."""
STEP: Final = stretched(0.5)
_VARIABLE: Final = re.compile(r"label_values\((.+), (\w+)\)")
_OFTEN_EMPTY: Final = {"database", "project"}
"""Variables whose All matches empty values too."""


def queries_over_time(name: str) -> Iterator[Asked]:
    """Yield the queries of a dashboard's panels and annotations."""
    return (asked for asked in queries(name) if ": variable " not in asked.where)


def variables(name: str) -> Iterator[tuple[str, str]]:
    """Yield selector and label of each dashboard variable."""
    for variable in dashboard(name)["templating"]["list"]:
        if variable["type"] == "query":
            found = _VARIABLE.fullmatch(variable["query"])
            assert found, variable["query"]
            yield found[1], found[2]


def filled_in(expr: str, seconds: float = 1.0, account: str = ".+") -> str:
    """Substitute the variables: one account, All of everything else."""
    known = {
        "__rate_interval": RATE_INTERVAL,
        "__interval": STEP,
        "__range": f"{max(1, round(seconds))}s",
        "account": account,
    }

    def value(found: re.Match[str]) -> str:
        return known.get(found[1]) or (".*" if found[1] in _OFTEN_EMPTY else ".+")

    return re.sub(r"\$([a-z_]\w*)", value, expr)


def has_figures(found: list[Series]) -> bool:
    """Return whether any value is a number."""
    return any(value != "NaN" for series in found for _, value in series["values"])


async def figure(prometheus: Prometheus, title: str, moment: float, account: str) -> float | None:
    """Return the value of an overview stat panel, or None."""
    (panel,) = [panel for panel in panels("overview") if panel["title"] == title and panel["type"] == "stat"]
    target = panel["targets"][-1]
    found = await prometheus.at(filled_in(target["expr"], account=account), moment)
    assert len(found) < 2
    return float(found[0]["value"][1]) if found else None
