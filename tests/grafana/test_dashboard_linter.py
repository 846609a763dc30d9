"""`dashboard-linter` has nothing to say that is not excused, and every excuse has its reason."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.grafana.checked_in import DIRECTORY, NAMES, dashboard
from tests.programs import program

EXCLUSIONS = yaml.safe_load((DIRECTORY / ".lint").read_text(encoding="utf-8"))["exclusions"]


def _lint(file: Path, *, config: Path) -> subprocess.CompletedProcess[str]:
    linter = program("DASHBOARD_LINTER")
    command = [linter, "lint", "--strict", "--config", str(config), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a tool that the caller of the tests names


@pytest.mark.parametrize("name", NAMES)
def test_the_linter_passes(name: str) -> None:
    linted = _lint(DIRECTORY / f"{name}.json", config=DIRECTORY / ".lint")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_linter_sees_a_selector_that_forgot_the_instance(tmp_path: Path) -> None:
    """The exclusions are so narrow that a real lapse beside them is still found."""
    loaded = dashboard("exporter")
    target = next(
        target
        for panel in loaded["panels"]
        for target in panel.get("targets", ())
        if "mms:" not in target["expr"] and "ALERTS" not in target["expr"]
    )
    target["expr"] = target["expr"].replace('instance=~"$instance", ', "").replace(', instance=~"$instance"', "")
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(loaded), encoding="utf-8")
    linted = _lint(broken, config=DIRECTORY / ".lint")
    assert linted.returncode != 0
    assert "target-instance-rule" in linted.stdout or "instance" in linted.stdout


@pytest.mark.parametrize("rule", EXCLUSIONS)
def test_every_exclusion_has_a_reason_and_is_of_one_query_or_of_a_dashboard_without_the_variable(rule: str) -> None:
    loaded = {dashboard(name)["title"]: dashboard(name) for name in NAMES}
    label = rule.split("-")[1]
    assert EXCLUSIONS[rule]["reason"]
    for entry in EXCLUSIONS[rule]["entries"]:
        assert entry["reason"]
        excused = loaded[entry["dashboard"]]
        if label in {variable["name"] for variable in excused["templating"]["list"]}:
            assert entry["panel"] in {panel["title"] for panel in excused["panels"]}
            assert entry["targetidx"].isdigit()


def test_only_the_rules_on_two_labels_have_exclusions() -> None:
    assert set(EXCLUSIONS) == {
        f"{kind}-{label}-rule" for kind in ("target", "template") for label in ("instance", "job")
    }
