"""The band of the forecast on seeded migrations: how often the true end lies in it, and how wide it is."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
import yaml

from tests.programs import PROMTOOLS, ROOT, program, said
from tests.rules.forecast_stories import SHAPES, STEP_MINUTES, Story, story
from tests.rules.loading import RECORDS, Rule
from tests.rules.queries import metrics_of

DOCUMENT = ROOT / "docs" / "forecast.md"
SHORTEST = {"steady": 3, "slowing": 2, "bursts": 2, "one long last table": 1, "second wave": 0, "outage": 2}
"""The seed of the shortest story of each shape."""
OTHER_SEEDS = (100, 200)
"""The first seeds of the stories from which the margin was chosen."""
BOUNDS = ("_best", "", "_worst")
BAND = '{__name__=~"mms:source:time_left(_best|_worst)?:seconds"}'
EVERY_STEPS = 6
"""The band is read every 30 minutes."""
SAMPLE = re.compile(r'__name__="mms:source:time_left(\w*):seconds"[^}]*source_id="(\d+)"[^}]*\} ([^,\s"]+)')
RESULT = re.compile(r"time: (\w+),\s+exp:.*\s+got:(.*)")
DURATION = re.compile(r"(\d+)([dhm])")
MINUTES = {"d": 1440, "h": 60, "m": 1}


class Forecast(NamedTuple):
    """The band at one moment of the second half of a story, and the truth, in seconds."""

    shape: str
    best: float
    expected: float
    worst: float
    truth: float

    @property
    def has_end(self) -> bool:
        """Whether the worst case has an end."""
        return math.isfinite(self.worst)


def _coverage(found: Iterable[Forecast]) -> float:
    """Return how often the true end lies in a band that has an end."""
    covered = [each.has_end and each.best <= each.truth <= each.worst for each in found]
    return sum(covered) / len(covered)


def _needed(records: Iterable[str]) -> list[Rule]:
    """Return the shipped rules of these records and of all that they read, in order."""
    needed, todo = set[str](), list(records)
    while todo:
        needed.add(name := todo.pop())
        read = {metric for rule in RECORDS[name] for metric, _ in metrics_of(rule["expr"])}
        todo += read & RECORDS.keys() - needed
    return [rule for name, rules in RECORDS.items() if name in needed for rule in rules]


def _selector(series: str, number: int) -> str:
    metric, _, labels = series.rstrip("}").partition("{")
    own = f'job="mms-exporter",account="prod",source_id="{number}",source="{number}"'
    return f"{metric}{{{own}{',' + labels if labels else ''}}}"


def _inputs(stories: Sequence[Story], *, with_sizes: bool) -> Iterator[dict[str, str]]:
    yield {"series": 'mms_up{job="mms-exporter",account="prod"}', "values": f"1x{max(each.end for each in stories)}"}
    for number, each in enumerate(stories):
        yield {"series": _selector("mms_datasource_info", number), "values": f"1x{each.end}"}
        for series, values in each.series.items():
            if with_sizes or not series.startswith("mms_database_"):
                yield {"series": _selector(series, number), "values": " ".join(map(str, values))}


def forecasts(
    stories: Sequence[Story], folder: Path, *, with_sizes: bool = True, promtool: str = "PROMTOOL"
) -> list[Forecast]:
    """Return what the shipped rules forecast in the second half of each story."""
    rules, file = folder / "rules.yaml", folder / "stories.yaml"
    needed = _needed(f"mms:source:time_left{bound}:seconds" for bound in BOUNDS)
    rules.write_text(yaml.safe_dump({"groups": [{"name": "forecast", "rules": needed}]}))
    moments = range(EVERY_STEPS, max(each.end for each in stories), EVERY_STEPS)
    queries = [{"expr": BAND, "eval_time": f"{step * STEP_MINUTES}m", "exp_samples": []} for step in moments]
    interval, series = f"{STEP_MINUTES}m", list(_inputs(stories, with_sizes=with_sizes))
    tests = [{"interval": interval, "input_series": series, "promql_expr_test": queries}]
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": interval, "tests": tests}))
    # promtool prints all values, because none are expected.
    _, printed = said(program(promtool), "test", "rules", file, environment={"GOGC": "400"})
    bands = _bands(printed)
    return [
        Forecast(each.shape, *_bounds(bands[step, number]), truth=60 * STEP_MINUTES * (each.end - step))
        for number, each in enumerate(stories)
        for step in moments
        if each.is_second_half(step)
    ]


def _bounds(band: dict[str, float]) -> tuple[float, float, float]:
    return band["_best"], band[""], band["_worst"]


def _bands(printed: str) -> dict[tuple[int, int], dict[str, float]]:
    """Return best, expected and worst by step and story."""
    found: defaultdict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for at, samples in RESULT.findall(printed):
        step = sum(int(amount) * MINUTES[unit] for amount, unit in DURATION.findall(at)) // STEP_MINUTES
        for bound, number, value in SAMPLE.findall(samples):
            found[step, int(number)][bound] = float(value)
    return found


def test_the_true_end_lies_in_the_band_of_the_shortest_story_of_each_shape(tmp_path: Path) -> None:
    found = forecasts([story(*each) for each in SHORTEST.items()], tmp_path)
    assert _coverage(found) >= 0.8
    assert _ratio(found) < 5, "a wide band is always right"
    assert all(each.best <= each.expected <= each.worst for each in found)


def _of_all_shapes(first_seed: int) -> list[Story]:
    return [story(shape, first_seed + seed) for shape, seeds in SHAPES.items() for seed in range(seeds)]


@pytest.mark.scale
@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_the_documented_figures_are_those_of_the_twenty_stories(promtool: str, tmp_path: Path) -> None:
    stories = _of_all_shapes(0)
    by_size = [forecasts(stories, tmp_path, with_sizes=known, promtool=promtool) for known in (True, False)]
    assert min(map(_coverage, by_size)) >= 0.8
    rows = [
        _row(shape, count, [[each for each in found if each.shape == shape] for found in by_size])
        for shape, count in SHAPES.items()
    ]
    documented = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join((*rows, _row("all", len(stories), by_size))) in documented
    assert f"{len(by_size[0])} moments in total" in documented


@pytest.mark.scale
def test_the_documented_figures_hold_for_other_seeds(tmp_path: Path) -> None:
    by_size = [
        [each for first in OTHER_SEEDS for each in forecasts(_of_all_shapes(first), tmp_path, with_sizes=known)]
        for known in (True, False)
    ]
    assert min(map(_coverage, by_size)) >= 0.8
    row = _row("all, other seeds", len(OTHER_SEEDS) * sum(SHAPES.values()), by_size)
    documented = DOCUMENT.read_text(encoding="utf-8")
    assert row in documented
    assert f"The last row has {len(by_size[0])} moments" in documented


def _row(name: str, stories: int, by_size: Sequence[Sequence[Forecast]]) -> str:
    """Return a row of the table in docs/forecast.md: with sizes, and with objects only."""
    missed = median(max(each.expected / each.truth, each.truth / each.expected) for each in by_size[0])
    bands = " | ".join(f"{100 * _coverage(found):.0f} % | {_endless(found)} | {_ratio(found):.1f}" for found in by_size)
    return f"| {name} | {stories} | {bands} | {missed:.2f} |"


def _endless(found: Sequence[Forecast]) -> str:
    return f"{100 * sum(not each.has_end for each in found) / len(found):.1f} %"


def _ratio(found: Iterable[Forecast]) -> float:
    return median(each.worst / each.best for each in found if each.has_end)
