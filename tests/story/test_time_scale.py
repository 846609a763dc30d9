"""The accelerated rules equal the shipped ones except for durations."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.programs import ROOT, program, said
from tests.rules.loading import RULES
from tests.story.time_scale import FACTOR, WAITS, accelerated_routes, accelerated_rules, each_duration, shorter

ROUTES = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"


@pytest.mark.parametrize(
    ("given", "divided"),
    [("3m", "1500ms"), ("1h", "30000ms"), ("1h30m", "45000ms"), ("1d", "720000ms"), ("120ms", "1ms")],
)
def test_a_duration_is_divided(given: str, divided: str) -> None:
    assert shorter(given, 120) == divided


def test_a_duration_never_becomes_zero() -> None:
    with pytest.raises(ValueError, match="less than a millisecond"):
        shorter("100ms", 120)


def test_ranges_offsets_and_subqueries_are_durations_and_names_strings_and_numbers_are_not() -> None:
    query = '3600 * a:rise10m{b="5m"} > max_over_time(c[30m:1m] offset 1h) + 10 * c[2m] and "in 1d\\" 2d" == d1h'
    changed = '3600 * a:rise10m{b="5m"} > max_over_time(c[X:X] offset X) + 10 * c[X] and "in 1d\\" 2d" == d1h'
    assert each_duration(query, lambda _: "X") == changed


def _without_times(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule with its durations replaced."""
    expr = each_duration(rule["expr"], lambda _: "X").removesuffix(f" / {FACTOR}")
    return rule | {"expr": expr} | dict.fromkeys(WAITS & rule.keys(), "X")


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_only_durations_differ_from_the_shipped_rules(path: Path) -> None:
    shipped, accelerated = yaml.safe_load(path.read_text()), yaml.safe_load(accelerated_rules(path.read_text()))
    for before, after in zip(shipped["groups"], accelerated["groups"], strict=True):
        assert list(map(_without_times, after["rules"])) == list(map(_without_times, before["rules"]))


def test_thresholds_that_are_times_shrink_and_others_stay() -> None:
    path = next(path for path in RULES if path.stem == "mms-thresholds")
    loaded = yaml.safe_load(accelerated_rules(path.read_text(), {"mms:threshold:job_overdue:seconds": 1.5}))
    exprs = {rule["record"]: rule["expr"] for rule in loaded["groups"][0]["rules"]}
    assert exprs["mms:threshold:metadata_age:seconds"] == f"vector(2 * 86400) / {FACTOR}"
    assert exprs["mms:threshold:failed_rise:count"] == "vector(100)"
    assert exprs["mms:threshold:job_overdue:seconds"] == "vector(1.5)"


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    files = [tmp_path / path.name for path in RULES]
    for path, file in zip(RULES, files, strict=True):
        file.write_text(accelerated_rules(path.read_text()))
    code, printed = said(program("PROMTOOL"), "check", "rules", *files)
    assert code == 0, printed


def test_of_the_routes_only_waits_and_urls_differ(tmp_path: Path) -> None:
    shipped, accelerated = (
        yaml.safe_load(ROUTES.read_text()),
        yaml.safe_load(accelerated_routes(ROUTES.read_text(), "http://x")),
    )
    assert accelerated["inhibit_rules"] == shipped["inhibit_rules"]
    assert accelerated["route"]["routes"] == shipped["route"]["routes"]
    assert accelerated["route"] | {"group_wait": "30s", "group_interval": "5m"} == shipped["route"]
    assert [each["webhook_configs"][0].pop("url") for each in accelerated["receivers"]] == [
        *("http://x/pages", "http://x/tickets", "http://x/notes"),
    ]
    assert [each["webhook_configs"][0].pop("url") for each in shipped["receivers"]]
    assert accelerated["receivers"] == shipped["receivers"]
    file = tmp_path / "alertmanager.yml"
    file.write_text(accelerated_routes(ROUTES.read_text(), "http://127.0.0.1"))
    code, printed = said(program("AMTOOL"), "check-config", file)
    assert code == 0, printed
