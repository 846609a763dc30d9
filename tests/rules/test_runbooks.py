"""Rules and runbooks hold together: one for each, whole, and with queries that can be run."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from exporter.cli import arguments
from exporter.cli.commands import FLAGS
from tests.programs import program, said
from tests.rules.loading import ALERTS, RECORDS, RUNBOOKS
from tests.rules.queries import labels_of, metric_table, metrics_of

SECTIONS = ["Meaning", "Impact", "Diagnosis", "Fix", "When it resolves", "Escalation"]
COMMAND = re.compile(r"`mms-exporter([^`]*)`")
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
VARIABLES = {
    '"$account"': "prod",
    '"$source_id"': "2000001",
    '"$job_id"': "7",
    '"$table_id"': "22",
    '"$file"': "a.yaml",
    '"$web_file"': "web.yaml",
}
"""Variables of commands, each with a valid value."""
TABLE = metric_table()


def text_of(alert: str) -> str:
    """Return the runbook of an alert."""
    return (RUNBOOKS / f"{alert}.md").read_text()


def queries_of(alert: str) -> list[str]:
    """Return the queries of a runbook, with its placeholders as they stand."""
    blocks: list[str] = re.findall(r"```promql\n(.*?)```", text_of(alert), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def commands_of(alert: str) -> list[str]:
    """Return the arguments of each `mms-exporter` command of a runbook."""
    lines = (line.strip() for block in SHELL.findall(text_of(alert)) for line in block.splitlines())
    in_blocks = [
        line.partition(" | ")[0].removeprefix("mms-exporter") for line in lines if line.startswith("mms-exporter")
    ]
    return COMMAND.findall(text_of(alert)) + in_blocks


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)


def test_the_index_names_every_alert_with_its_severity_once() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((alert, rule["labels"]["severity"]) for alert, rule in ALERTS.items())


@pytest.mark.parametrize("alert", ALERTS)
def test_runbooks_have_all_their_sections_and_none_is_empty(alert: str) -> None:
    head, *sections = re.split(r"^## ", text_of(alert), flags=re.MULTILINE)
    assert head.splitlines()[0] == f"# {alert}"
    assert f"Severity: {ALERTS[alert]['labels']['severity']}" in head
    titles, bodies = zip(*(section.split("\n", 1) for section in sections), strict=True)
    assert list(titles) == SECTIONS
    assert all(body.strip() for body in bodies)


@pytest.mark.parametrize("alert", ALERTS)
def test_queries_of_runbooks_name_metrics_and_labels_that_are_there(alert: str) -> None:
    assert queries_of(alert)
    for query in queries_of(alert):
        assert list(metrics_of(query))
        for metric, matched in metrics_of(query):
            labels = labels_of(metric, TABLE)
            assert labels is not None, f"no metric {metric}"
            assert not metric.startswith("mms:") or metric in RECORDS, f"no record {metric}"
            assert matched <= labels, f"{metric} has no label {sorted(matched - labels)}"


def test_prometheus_understands_the_queries_of_runbooks(tmp_path: Path) -> None:
    queries = [query for alert in ALERTS for query in queries_of(alert)]
    file = tmp_path / "queries.yaml"
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    code, printed = said(program("PROMTOOL"), "check", "rules", "--lint=none", file)
    assert code == 0, printed
    assert f"{len(queries)} rules found" in printed


@pytest.mark.parametrize("alert", ALERTS)
def test_runbooks_link_to_runbooks_that_are_there(alert: str) -> None:
    assert {link for link in re.findall(r"\]\((\w+)\.md\)", text_of(alert)) if link not in ALERTS} == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_each_runbook_names_a_command_that_helps_and_every_command_can_be_given(alert: str) -> None:
    commands = commands_of(alert)
    assert commands
    for words in commands:
        arguments.parse(shlex.split(_filled(words)), {})


def _filled(words: str) -> str:
    for variable, value in VARIABLES.items():
        words = words.replace(variable, value)
    assert not re.search("[<$]", words), words
    return words


@pytest.mark.parametrize("alert", ALERTS)
def test_commands_of_runbooks_can_be_pasted_once_the_variables_of_the_index_are_set(alert: str) -> None:
    script = "".join(SHELL.findall(text_of(alert)))
    code, printed = said("bash", "-n", "-c", script)
    assert code == 0, printed
    used = set(re.findall(r"\$(\w+)", script))
    assert used <= set(re.findall(r"`(\w+)`", (RUNBOOKS / "README.md").read_text()))


def test_what_ends_the_alert_after_a_retry_is_said() -> None:
    """The job that failed is not the one that `retry` makes."""
    text = " ".join(text_of("MmsJobFailed").split())
    assert "The old jobs stay FAILED in MMS. You need not delete them" in text


@pytest.mark.parametrize("alert", ALERTS)
def test_a_command_about_a_source_names_account_and_source(alert: str) -> None:
    """A name can be that of several accounts' sources, and an id stays when a source is renamed."""
    for words in commands_of(alert):
        assert '--source="$source_id"' not in words or '--account="$account"' in words


@pytest.mark.parametrize("alert", ALERTS)
def test_runbooks_name_only_flags_that_exist(alert: str) -> None:
    assert set(re.findall(r"`--([\w.-]+)`", text_of(alert))) <= {flag.name for flag in FLAGS}
