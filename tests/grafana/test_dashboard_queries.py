"""Every query names series and labels that exist, and never makes up a zero."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from grafana.builder import palette
from tests.exported import exported_metrics
from tests.grafana.checked_in import ALL_QUERIES, NAMES, ROOT, grouping_labels, panels, selectors
from tests.programs import program

TABLE = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))
ADDED_BY_PROMETHEUS = {"job", "instance"}
LABELS = {
    **{metric: {*labels, *ADDED_BY_PROMETHEUS} for metric, labels in exported_metrics().items()},
    **{metric: set(labels) for metric, labels in (TABLE["recorded"] | TABLE["prometheus"]).items()},
}
RULES = ROOT / "deploy" / "prometheus" / "rules"


def test_queries_select_series_and_labels_that_exist() -> None:
    for asked in ALL_QUERIES:
        found = selectors(asked.expr)
        assert found, asked
        for selector in found:
            assert selector.metric in LABELS, asked
            assert selector.labels <= LABELS[selector.metric], asked


def test_queries_group_and_name_by_labels_that_their_series_have() -> None:
    for asked in ALL_QUERIES:
        there = set().union(*(LABELS[selector.metric] for selector in selectors(asked.expr)))
        assert grouping_labels(asked.expr) <= there, asked
        assert set(re.findall(r"\{\{(\w+)\}\}", asked.legend)) <= there, asked


def test_queries_choose_what_the_variables_choose() -> None:
    for asked in ALL_QUERIES:
        for selector in selectors(asked.expr):
            variables = {"account", "source"} | (ADDED_BY_PROMETHEUS if asked.where.startswith("exporter: ") else set())
            offered = LABELS[selector.metric] & variables
            if asked.where.split(": ", 1)[1].startswith("variable ") or selector.metric.startswith("ALERTS"):
                continue
            assert offered <= selector.labels, asked


def test_no_query_makes_up_a_zero() -> None:
    assert [asked for asked in ALL_QUERIES if "vector(" in asked.expr] == []


def test_a_selector_of_an_unknown_metric_is_seen() -> None:
    (unknown,) = selectors('sum by (account) (rate(mms_nothing_total{account="a", reason!~"b|c"}[5m]))')
    assert unknown.metric == "mms_nothing_total"
    assert unknown.labels == {"account", "reason"}


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_that_a_table_shows_are_kept_by_one_of_its_queries(name: str) -> None:
    for panel in panels(name):
        for step in panel.get("transformations", ()):
            if step["id"] == "organize":
                kept = set().union(*(grouping_labels(target["expr"]) for target in panel["targets"]))
                labels = {field for field in step["options"]["renameByName"] if not field.startswith("Value")}
                assert labels <= kept, panel["title"]


def _rules() -> list[dict[str, object]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.yaml"))]
    return [rule for content in files for group in content["groups"] for rule in group["rules"]]


def test_every_recorded_series_is_one_that_the_rules_record() -> None:
    assert set(TABLE["recorded"]) <= {rule.get("record") for rule in _rules()}


def test_colours_change_where_alerts_fire() -> None:
    thresholds = {
        "mms:threshold:last_success_age:seconds": palette.STALE_AFTER_SECONDS,
        "mms:threshold:metadata_age:seconds": palette.METADATA_AGE_SECONDS,
        "mms:threshold:failed:ratio": palette.FAILURE_RATIO,
        "mms:threshold:throttled_requests:ratio": palette.THROTTLED_RATIO,
    }
    recorded = {rule.get("record"): str(rule["expr"]) for rule in _rules()}
    for name, value in thresholds.items():
        factors = re.fullmatch(r"vector\(([\d.]+)(?: \* ([\d.]+))?\)", recorded[name])
        assert factors, recorded[name]
        assert float(factors[1]) * float(factors[2] or 1) == value


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """Grafana's variables become what they stand for where nothing is chosen."""
    stands_for = {"$__rate_interval": "2m", "$__interval": "1m", "$__range": "6h"}
    rules = []
    for number, asked in enumerate(ALL_QUERIES):
        expr = asked.expr
        for variable, value in stands_for.items():
            expr = expr.replace(variable, value)
        rules.append({"record": f"query:{number}", "expr": re.sub(r"\$[a-z]\w*", ".+", expr)})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    checked = subprocess.run(  # noqa: S603 - a tool that the caller of the tests names
        [program("PROMTOOL"), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
