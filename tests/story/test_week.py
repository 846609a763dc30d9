"""A week of a migration: each notification has one cause, each cause one notification, and the page shows them.

`WEEK_PAGE=write` replaces the table of docs/alerting.md, as `make week` does.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs import ROOT
from tests.rules.loading import ALERTS
from tests.story.week import STEP_SECONDS, Cause, WeekSamples, recorded
from tests.story.week_alerts import RoutedAlerts, RoutedNotification, firing_alerts

PAGE = ROOT / "docs" / "alerting.md"
BEGIN, END = "<!-- week -->\n", "<!-- /week -->\n"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MEANINGS = {"critical": "pages", "warning": "tickets", "info": "notes"}


@dataclass(frozen=True, slots=True)
class SentAlert:
    """An alert that a notification named for the first time."""

    second: float
    alert: str
    source: str


def sent(notifications: Iterable[RoutedNotification]) -> list[SentAlert]:
    """Return the alerts of all notifications."""
    return [
        SentAlert(each.second, labels["alertname"], labels.get("source", ""))
        for each in notifications
        for labels in map(dict, each.firing)
    ]


def steps_with_failures(recording: WeekSamples, source: str) -> list[int]:
    """Return the steps at which tables or partitions of a source are FAILED."""
    counts: Counter[int] = Counter()
    for (name, labels), samples in recording.samples.items():
        if name in {"mms_tables", "mms_partitions"} and {("source", source), ("status", "FAILED")} <= labels:
            counts.update({step: int(value) for step, value in samples.items()})
    return sorted(step for step, count in counts.items() if count)


def causes_in(recording: WeekSamples, scripted: Sequence[Cause]) -> Iterator[Cause]:
    """Yield the scripted causes, and those that the drawn failures of tasks make."""
    yield from scripted
    for (name, labels), samples in recording.samples.items():
        source = dict(labels).get("source", "")
        if name == "mms_jobs" and dict(labels)["status"] == "FAILED":
            yield from _failed_jobs(source, samples)
        if name == "mms_datasource_info":
            yield from _left_failures(source, steps_with_failures(recording, source))
            yield Cause("the last table is migrated", "MmsMigrationFinished", source, 5 * 86400, 7 * 86400)


def _failed_jobs(source: str, samples: dict[int, float]) -> Iterator[Cause]:
    last = -1e9
    for before, step in zip(sorted(samples), sorted(samples)[1:], strict=False):
        second = step * STEP_SECONDS
        if samples[step] > samples[before]:
            if second - last > 1800:
                yield Cause("a job fails", "MmsJobFailed", source, second, second + 600)
            last = second


def _left_failures(source: str, steps: list[int]) -> Iterator[Cause]:
    what = "failures wait for the working hours"
    begin = None
    for number, step in enumerate(steps):
        begin = step if begin is None else begin
        if number + 1 == len(steps) or steps[number + 1] > step + 15:
            yield Cause(what, "MmsTablesFailed", source, begin * STEP_SECONDS, step * STEP_SECONDS + 3600)
            begin = None


def cause_of(one: SentAlert, causes: Iterable[Cause]) -> Cause | None:
    """Return the cause of a notification; None if nothing explains it."""
    found = [
        each
        for each in causes
        if (each.alert, each.source) == (one.alert, one.source) and each.start <= one.second <= each.end
    ]
    return found[0] if found else None


def table(explained: Sequence[tuple[SentAlert, Cause]], repeats: int, ends: int) -> str:
    """Return the table of the page."""
    by_severity = Counter(ALERTS[one.alert]["labels"]["severity"] for one, _ in explained)
    numbers = "; ".join(f"{by_severity[severity]} {name}" for severity, name in MEANINGS.items())
    lines = [
        f"{len(explained)} notifications: {numbers}. Repeated: {repeats}. Messages that something is resolved: {ends}.",
        "",
        "| when | severity | alert | data source | cause |",
        "|---|---|---|---|---|",
    ]
    for one, cause in explained:
        severity = ALERTS[one.alert]["labels"]["severity"]
        lines.append(f"| {_clock(one.second)} | {severity} | {one.alert} | {one.source} | {cause.what} |")
    return "\n".join(lines) + "\n"


def _clock(second: float) -> str:
    minutes = int(second) // 60
    return f"{DAYS[minutes // 1440]} {minutes // 60 % 24:02}:{minutes % 60:02}"


@pytest.mark.scale
@pytest.mark.timeout(3000)
async def test_each_notification_of_a_week_has_a_cause_of_its_own(tmp_path: Path) -> None:
    recording, scripted = await recorded()
    notifications = RoutedAlerts().notifications(firing_alerts(recording, tmp_path, "PROMTOOL"))
    causes, all_sent = list(causes_in(recording, scripted)), sent(notifications)
    explained = [(one, cause) for one in all_sent if (cause := cause_of(one, causes)) is not None]
    assert [one for one in all_sent if one not in {each for each, _ in explained}] == [], "each has a cause"
    repeated = [cause for cause, count in Counter(cause for _, cause in explained).items() if count > 1]
    assert repeated == [], "no cause notifies twice"
    assert [cause for cause in scripted if cause not in {each for _, each in explained}] == [], "each cause notifies"
    repeats, ends = (
        sum(map(bool, values))
        for values in zip(*((each.is_repeat, each.is_resolved) for each in notifications), strict=True)
    )
    assert repeats == 0
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    new = table(explained, repeats, ends)
    if os.environ.get("WEEK_PAGE") == "write":
        PAGE.write_text(f"{before}{BEGIN}{new}{END}{after}", encoding="utf-8")
    else:
        assert old == new
