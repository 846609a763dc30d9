"""The rule files, the rule tests and the runbooks, as data."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.programs import ROOT

RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
RULE_TESTS = sorted((Path(__file__).parent / "promtool").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"

Rule = dict[str, Any]


@cache
def loaded(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file."""
    content: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    return content


def rules() -> Iterator[Rule]:
    """Yield every rule of every file, in order."""
    for path in RULES:
        for group in loaded(path)["groups"]:
            yield from group["rules"]


ALERTS: dict[str, Rule] = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDS: dict[str, list[Rule]] = {}
for _rule in rules():
    if "record" in _rule:
        RECORDS.setdefault(_rule["record"], []).append(_rule)

GROUPS: tuple[str, ...] = tuple(group["name"] for path in RULES for group in loaded(path)["groups"])


@cache
def rule_tests() -> tuple[dict[str, Any], ...]:
    """Return every test of every file for `promtool test rules`."""
    return tuple(test for path in RULE_TESTS for test in loaded(path)["tests"])


def inhibit_rules() -> list[dict[str, Any]]:
    """Return the inhibition rules that are shipped."""
    shipped: list[dict[str, Any]] = loaded(ROOT / "deploy" / "alertmanager" / "alertmanager.yml")["inhibit_rules"]
    return shipped
