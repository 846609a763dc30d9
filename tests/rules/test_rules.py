"""The rules themselves: what the vendor's tools say of them, and what this project asks of each."""

import re
from pathlib import Path

import pytest
import yaml

from exporter.mms.diagnosis.reason_rules import HINTS, Reason
from tests.programs import PROMTOOLS, ROOT, program, said
from tests.rules.joining import joined
from tests.rules.loading import ALERTS, GROUPS, RECORDS, RULE_TESTS, RULES, loaded, rule_tests, rules
from tests.rules.queries import OF_RECORDS, groupings_of, labels_of, metric_table, metrics_of

PROMETHEUS = ROOT / "deploy" / "prometheus"
TABLE = metric_table()
KNOWN_LABELS = frozenset[str]().union(*TABLE.values()) | OF_RECORDS
LINK = "{{{{ with query `mms:link:{}:url` }}}}{{{{ . | first | label `url` }}}}{{{{ end }}}}"
DASHBOARDS = r"/d/mms-(overview|datasource|jobs|exporter)(\?var-account=\{\{ \$labels\.account \| urlquery \}\}.*)?"
QUERY_IN_TEMPLATE = re.compile(r'(?:printf|query)\s+(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)')


def queries_of(rule: dict[str, object]) -> list[str]:
    """Return the query of a rule, and those in its annotations."""
    annotations = rule.get("annotations")
    texts = annotations.values() if isinstance(annotations, dict) else ()
    return [str(rule["expr"]), *("".join(query) for text in texts for query in QUERY_IN_TEMPLATE.findall(str(text)))]


NAMED_QUERIES = [(str(rule.get("alert", rule.get("record"))), query) for rule in rules() for query in queries_of(rule)]


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_promtool_has_nothing_to_say(promtool: str) -> None:
    code, printed = said(program(promtool), "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert (code, printed.count("SUCCESS")) == (0, len(RULES)), printed


def test_promtool_accepts_the_scrape_configuration_and_finds_every_rule_file() -> None:
    code, printed = said(program("PROMTOOL"), "check", "config", PROMETHEUS / "prometheus.yml")
    assert code == 0, printed
    assert f"{len(RULES)} rule files found" in printed


def test_pint_has_nothing_to_say() -> None:
    config = PROMETHEUS / "pint.hcl"
    code, printed = said(
        program("PINT"),
        *("--no-color", "--offline", "--config", config, "lint", "--fail-on=info", "--min-severity=info"),
        PROMETHEUS / "rules",
    )
    assert code == 0, printed
    assert "problem" not in printed.lower(), printed
    assert f"entries={len(list(rules()))}" in printed, "pint did not see every rule"


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path: Path, tmp_path: Path) -> None:
    assert_passes("PROMTOOL", path, tmp_path)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.scale] if path.stem.startswith("alerts") else []) for path in RULE_TESTS],
    ids=lambda path: path.stem,
)
def test_rules_do_the_same_in_prometheus_3(path: Path, tmp_path: Path) -> None:
    assert_passes("PROMTOOL3", path, tmp_path)


def assert_passes(promtool: str, path: Path, folder: Path) -> None:
    """Check that promtool accepts a file of rule tests."""
    short = folder / path.name
    tests = list(joined(loaded(path)["tests"]))
    short.write_text(yaml.safe_dump({**loaded(path), "rule_files": list(map(str, RULES)), "tests": tests}))
    code, joined_printed = output_of(promtool, short)
    if code:
        # As they are written: the message then names the test.
        code, printed = output_of(promtool, path)
        assert code == 0, printed
        pytest.fail(f"fails only joined, so an alert is expected in one test and fires in another: {joined_printed}")


def output_of(promtool: str, file: Path) -> tuple[int, str]:
    """Return the exit code and the output of promtool on a file of rule tests."""
    return said(program(promtool), "test", "rules", file, environment={"GOGC": "off", "GOMEMLIMIT": "500MiB"})


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rule_tests_evaluate_groups_in_the_order_of_their_files(path: Path) -> None:
    """Without an order, promtool takes one by chance, and an alert sees its records a step late by chance."""
    order = re.search(r"group_eval_order:\s*\[(.*?)\]", path.read_text(), re.DOTALL)
    assert order is not None
    named = tuple(order[1].replace("\n", "").replace(" ", "").split(","))
    assert set(named) == set(GROUPS)
    assert named[:2] == ("mms-thresholds", "mms-recording")


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_shown_firing_with_its_texts_and_at_several_moments(alert: str) -> None:
    texts = [
        shown
        for test in rule_tests()
        for each in test.get("alert_rule_test", ())
        if each["alertname"] == alert
        for shown in each["exp_alerts"]
    ]
    moments = [
        each["eval_time"]
        for test in rule_tests()
        for each in test.get("promql_expr_test", ())
        if any(f'alertname="{alert}"' in sample["labels"] for sample in each["exp_samples"])
    ]
    assert texts, "no test expects its labels and annotations"
    assert len(moments) >= 3, "first, through a missed scrape, through a restart"


@pytest.mark.parametrize("alert", [name for name, rule in ALERTS.items() if "for" in rule])
def test_texts_are_true_while_the_alert_is_pending(alert: str) -> None:
    """A condition that must last 5 minutes has not lasted them yet: a text names only the ranges of the query."""
    description = re.sub("{{.*?}}", "", ALERTS[alert]["annotations"]["description"])
    query = _unrecorded(str(ALERTS[alert]["expr"]))
    named = re.findall(r"\b(?:for|last|since|within) (\d+) ([smhd])(?:econd|inute|our|ay)s?\b", description)
    assert [span for span in map("".join, named) if not re.search(rf"\[{span}(?:1ms)?\]", query)] == []


@pytest.mark.parametrize("alert", [name for name, rule in ALERTS.items() if "keep_firing_for" in rule])
def test_texts_say_how_long_the_alert_keeps_its_last_figures(alert: str) -> None:
    """Prometheus does not evaluate them again while it keeps an alert firing."""
    amount, unit = ALERTS[alert]["keep_firing_for"][:-1], {"m": "minute", "h": "hour"}
    expected = f"{amount} {unit[ALERTS[alert]['keep_firing_for'][-1]]}"
    assert expected in ALERTS[alert]["annotations"]["description"]


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_shown_silent_on_its_own_series(alert: str) -> None:
    """A test gives the metrics the alert reads, and at no time expects the alert."""
    read = {metric for metric, _ in metrics_of(_unrecorded(str(ALERTS[alert]["expr"])))}
    raw = read - {"mms_up"} or read
    silent = [
        test["name"]
        for test in rule_tests()
        if raw & {series["series"].split("{")[0] for series in test["input_series"]}
        and f'alertname="{alert}"' not in str(test.get("promql_expr_test", ""))
    ]
    assert silent


def _unrecorded(query: str) -> str:
    """Return a query with the queries behind its recorded series beside it, down to the exporter's metrics."""
    seen, todo = [query], [query]
    while todo:
        for metric, _ in metrics_of(todo.pop()):
            behind = [str(rule["expr"]) for rule in RECORDS.get(metric, ()) if str(rule["expr"]) not in seen]
            seen += behind
            todo += behind
    return "\n".join(seen)


def test_each_record_is_shown_with_a_value() -> None:
    shown = {
        metric
        for test in rule_tests()
        for each in test.get("promql_expr_test", ())
        if each["exp_samples"]
        for metric, _ in metrics_of(each["expr"])
    }
    assert RECORDS.keys() - shown == set()


def test_queries_name_metrics_and_labels_that_are_there() -> None:
    for name, query in NAMED_QUERIES:
        found = list(metrics_of(query))
        assert found or name.startswith(("mms:threshold:", "mms:link:")), name
        for metric, matched in found:
            labels = labels_of(metric, TABLE)
            assert labels is not None, f"{name}: no metric {metric}"
            assert not metric.startswith("mms:") or metric in RECORDS, f"{name}: no record {metric}"
            assert matched <= labels, f"{name}: {metric} has no label {sorted(matched - labels)}"
        assert groupings_of(query) <= KNOWN_LABELS, name


@pytest.mark.parametrize("alert", ALERTS)
def test_alerts_say_what_a_person_needs(alert: str) -> None:
    rule = ALERTS[alert]
    texts = rule["annotations"]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert texts.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert texts["runbook_url"] == f"{LINK.format('runbooks')}/{alert}.md"
    assert re.fullmatch(re.escape(LINK.format("dashboards")) + DASHBOARDS, texts["dashboard_url"])
    assert texts["summary"].endswith(".")
    assert texts["description"].endswith((".", "}}."))


def test_the_alert_of_a_reason_has_the_hint_of_each_reason_that_it_can_have() -> None:
    text = " ".join(str(ALERTS["MmsFailureReasonDominates"]["annotations"]["description"]).split())
    hints = dict(re.findall(r'if eq \$labels\.reason "(\w+)" }}(.*?) {{', text))
    without = {Reason.UNKNOWN, Reason.VERIFICATION_MISMATCH}
    assert hints == {reason.value: hint for reason, hint in HINTS.items() if reason not in without}
    assert '{reason!~"unknown|verification_mismatch"}' in str(ALERTS["MmsFailureReasonDominates"]["expr"])


@pytest.mark.parametrize("alert", ALERTS)
def test_figures_in_alerts_are_for_people(alert: str) -> None:
    """A value is humanised, and the labels that are named are those the alert has."""
    for text in ALERTS[alert]["annotations"].values():
        assert not re.search(r"\{\{\s*\$value\s*\}\}", text)
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= KNOWN_LABELS


def test_figures_that_alerts_compare_with_stand_in_one_place() -> None:
    """In an alert itself, only 0 and 1 may be compared with: there is something, or it is so."""
    used = {metric for rule in ALERTS.values() for metric, _ in metrics_of(rule["expr"]) if ":threshold:" in metric}
    assert used == {record for record in RECORDS if ":threshold:" in record}
    for alert, rule in ALERTS.items():
        literals = re.findall(r"[<>=]\s*(\d[\d.]*)", rule["expr"])
        assert set(literals) <= {"0", "1"}, alert
