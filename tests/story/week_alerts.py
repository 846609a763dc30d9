"""The alerts and notifications of recorded samples: promtool evaluates the rules, and the routes are applied to them.

promtool has no output of alerts over time, so a test expects none at each step and its report lists those that fire.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config.sections import seconds
from tests.programs import program, said
from tests.rules.loading import GROUPS, RULES
from tests.rules.test_inhibition import CONFIG, matches
from tests.story.week import STEP_SECONDS, STEPS, WeekSamples

Alert = frozenset[tuple[str, str]]
_REPORT: Final = re.compile(r"time: (\S+),\s+exp: nil\s+got: (.*)")
_ALERT: Final = re.compile(r"\{(.*?)\} 1E\+00")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def _values(samples: Mapping[int, float], steps: int) -> str:
    """Return samples in promtool's notation, with equal differences as one run."""
    parts, step = [], 0
    for begin, values in _stretches(samples):
        parts += [f"_x{begin - step}"] if begin > step else []
        parts += list(_runs(values))
        step = begin + len(values)
        if step < steps:
            parts.append("stale")
            step += 1
    return " ".join(parts)


def _stretches(samples: Mapping[int, float]) -> Iterator[tuple[int, list[float]]]:
    for _, group in groupby(enumerate(sorted(samples)), key=lambda each: each[1] - each[0]):
        steps = [step for _, step in group]
        yield steps[0], [samples[step] for step in steps]


def _runs(values: list[float]) -> Iterator[str]:
    while values:
        count = 1
        delta = values[1] - values[0] if len(values) > 1 else 0.0
        while count < len(values) and values[count] == values[0] + count * delta:
            count += 1
        yield f"{values[0]:.10g}{delta:+.10g}x{count - 1}"
        values = values[count:]


def _series(name: str, labels: Iterable[tuple[str, str]]) -> str:
    given = {"job": "mms-exporter", "instance": "exporter", **dict(labels)}
    return name + "{" + ",".join(f"{key}={_quoted(value)}" for key, value in sorted(given.items())) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def firing_alerts(
    recording: WeekSamples, folder: Path, promtool: str, *, steps: int = STEPS, step_seconds: int = STEP_SECONDS
) -> list[frozenset[Alert]]:
    """Return the alerts that fire at each step."""
    expected = [
        {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{step * step_seconds}s", "exp_samples": []}
        for step in range(steps)
    ]
    series = [
        {"series": _series(*each), "values": _values(samples, steps)}
        for each, samples in sorted(recording.samples.items(), key=str)
    ]
    file = folder / "week.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(path) for path in RULES],
                "evaluation_interval": f"{step_seconds}s",
                "group_eval_order": list(GROUPS),
                "tests": [{"interval": f"{step_seconds}s", "input_series": series, "promql_expr_test": expected}],
            }
        )
    )
    _, printed = said(program(promtool), "test", "rules", file, environment={"GOGC": "400"}, limit_seconds=1200)
    found: list[frozenset[Alert]] = [frozenset()] * steps
    for when, got in _REPORT.findall(printed):
        step = int(seconds(when)) // step_seconds
        found[step] = frozenset(map(_alert, _ALERT.findall(got)))
    assert any(found), printed[:2000]
    return found


def _alert(labels: str) -> Alert:
    return frozenset(each for each in _LABEL.findall(labels) if each[0] not in {"alertstate", "__name__"})


@dataclass(frozen=True, slots=True)
class RoutedNotification:
    """A message to a receiver."""

    second: float
    receiver: str
    firing: frozenset[Alert]
    """Alerts that it names as firing and the message before it did not."""
    is_repeat: bool
    """Whether only time has passed since the message before."""
    is_resolved: bool
    """Whether it names resolved alerts."""


@dataclass
class _AlertGroup:
    flush: float
    notified: frozenset[Alert] = frozenset()
    at: float = 0.0


@dataclass
class RoutedAlerts:
    """The routes, groups and inhibition rules of the shipped configuration."""

    config: dict[str, Any] = field(default_factory=lambda: yaml.safe_load(CONFIG.read_text()))
    _groups: dict[tuple[str, tuple[str, ...]], _AlertGroup] = field(default_factory=dict)

    def notifications(self, steps: list[frozenset[Alert]]) -> list[RoutedNotification]:
        """Return the messages that the alerts of each step cause."""
        return [message for step, firing in enumerate(steps) for message in self._step(step * STEP_SECONDS, firing)]

    def active(self, firing: frozenset[Alert]) -> frozenset[Alert]:
        """Return the alerts that no other one inhibits."""
        return frozenset(alert for alert in firing if not self._is_inhibited(alert, firing))

    def _step(self, second: float, firing: frozenset[Alert]) -> Iterator[RoutedNotification]:
        active = self.active(firing)
        for alert in firing:
            self._groups.setdefault(self._key(alert), _AlertGroup(second + seconds(self.config["route"]["group_wait"])))
        for key, group in list(self._groups.items()):
            own = frozenset(alert for alert in firing if self._key(alert) == key)
            while group.flush < second + STEP_SECONDS:
                yield from self._flush(key[0], group, own & active, own - active)
                group.flush += seconds(self.config["route"]["group_interval"])
            if not own and not group.notified:
                del self._groups[key]

    def _key(self, alert: Alert) -> tuple[str, tuple[str, ...]]:
        labels = dict(alert)
        return self._route(labels)["receiver"], tuple(labels.get(each, "") for each in self.config["route"]["group_by"])

    def _flush(
        self, receiver: str, group: _AlertGroup, firing: frozenset[Alert], muted: frozenset[Alert]
    ) -> Iterator[RoutedNotification]:
        resolved = group.notified - firing - muted
        # Without an alert to send, Alertmanager leaves its log as it is: what was muted is not sent again.
        if not firing and not resolved:
            return
        new, is_due = firing - group.notified, bool(firing) and group.flush - group.at >= self._repeat(receiver)
        is_resolved = bool(resolved) and self._sends_resolved(receiver)
        if new or is_due or is_resolved:
            yield RoutedNotification(group.flush, receiver, new, is_repeat=is_due and not new, is_resolved=is_resolved)
            group.at = group.flush
        group.notified = firing

    def _route(self, labels: dict[str, str]) -> dict[str, Any]:
        routes = self.config["route"]["routes"]
        found: dict[str, Any] = next(
            (each for each in routes if matches(each["matchers"], labels)), self.config["route"]
        )
        return found

    def _repeat(self, receiver: str) -> float:
        routes = [each for each in self.config["route"]["routes"] if each["receiver"] == receiver]
        return seconds(routes[0].get("repeat_interval", self.config["route"]["repeat_interval"]))

    def _sends_resolved(self, receiver: str) -> bool:
        (found,) = [each for each in self.config["receivers"] if each["name"] == receiver]
        return bool(found["webhook_configs"][0].get("send_resolved", True))

    def _is_inhibited(self, alert: Alert, firing: frozenset[Alert]) -> bool:
        labels = dict(alert)
        return any(
            matches(rule["target_matchers"], labels)
            and any(
                other != alert
                and matches(rule["source_matchers"], dict(other))
                and all(dict(other).get(each) == labels.get(each) for each in rule.get("equal", ()))
                for other in firing
            )
            for rule in self.config["inhibit_rules"]
        )
