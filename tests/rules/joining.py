"""Joins rule tests, so that promtool evaluates all rules once for several of them, each with a `job` of its own.

Every rule keeps `job`, so these tests do not affect each other; a step takes little longer with more series.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

RuleTest = dict[str, Any]

JOB = "mms-exporter"
"""The job of every test as it is written."""
OF_ALL_JOBS = "MmsExporterAbsent"
"""The alert that depends on the other jobs."""
EXPECTED = ("promql_expr_test", "alert_rule_test")
OF_A_JOB = re.compile(r"(?<![\w:])(ALERTS|mms:(?!threshold:|link:)[\w:]+)(\{)?")
"""A series of a query that has the label `job`."""


def joined(tests: Iterable[RuleTest]) -> Iterator[RuleTest]:
    """Yield fewer tests that expect the same."""
    runs: list[list[RuleTest]] = []
    for test in tests:
        run = next((run for run in runs if all(_can_join(test, other) for other in run)), None)
        if run is None:
            runs.append(run := [])
        run.append(test)
    for run in runs:
        yield run[0] if len(run) == 1 else _one(run)


def _can_join(test: RuleTest, other: RuleTest) -> bool:
    """Return whether neither fires an alert whose texts the other expects: promtool compares those of all jobs."""
    is_mixed = _texts(test) & _alerts(other) or _texts(other) & _alerts(test) or OF_ALL_JOBS in f"{test}{other}"
    return test["interval"] == other["interval"] and not is_mixed


def _texts(test: RuleTest) -> set[str]:
    return {each["alertname"] for each in test.get("alert_rule_test", ())}


def _alerts(test: RuleTest) -> set[str]:
    return _texts(test) | set(re.findall(r'alertname="(\w+)"', str(test.get("promql_expr_test", ()))))


def _one(run: list[RuleTest]) -> RuleTest:
    tests = [_with_job(test, f"{JOB}-{number}") for number, test in enumerate(run)]
    return {
        "name": "; ".join(test["name"] for test in run),
        "interval": run[0]["interval"],
        **{part: [each for test in tests for each in test[part]] for part in ("input_series", *EXPECTED)},
    }


def _with_job(test: RuleTest, job: str) -> RuleTest:
    assert test.keys() <= {"name", "interval", "input_series", *EXPECTED}
    return {
        "input_series": [each | {"series": _renamed(each["series"], job)} for each in test["input_series"]],
        "promql_expr_test": [_query_of_job(each, job) for each in test.get("promql_expr_test", ())],
        "alert_rule_test": [_alert_of_job(each, job) for each in test.get("alert_rule_test", ())],
    }


def _query_of_job(query: RuleTest, job: str) -> RuleTest:
    expr = OF_A_JOB.sub(lambda found: f'{found[1]}{{job="{job}"{"," if found[2] else "}"}', query["expr"])
    samples = [each | {"labels": _renamed(each["labels"], job)} for each in query["exp_samples"]]
    return query | {"expr": expr, "exp_samples": samples}


def _alert_of_job(alert: RuleTest, job: str) -> RuleTest:
    return alert | {"exp_alerts": [_texts_of_job(each, job) for each in alert["exp_alerts"]]}


def _texts_of_job(expected: RuleTest, job: str) -> RuleTest:
    texts = {
        name: text.replace(f"of job {JOB} ", f"of job {job} ") for name, text in expected["exp_annotations"].items()
    }
    return expected | {"exp_labels": expected["exp_labels"] | {"job": job}, "exp_annotations": texts}


def _renamed(labels: str, job: str) -> str:
    return labels.replace(f'job="{JOB}"', f'job="{job}"')
