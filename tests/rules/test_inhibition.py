"""One cause wakes once: the shipped routes and inhibition rules, in a real Alertmanager."""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from exporter.collect.state.source_state import COLLECTORS
from tests.programs import ROOT, program, said
from tests.rules.loading import ALERTS, inhibit_rules

CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
RECEIVERS = {"critical": "pages", "warning": "tickets", "info": "notes"}
SOURCE = {"job": "mms-exporter", "account": "prod", "source_id": "1", "source": "hive"}
LABELS = {
    "MmsExporterAbsent": ("job",),
    "MmsReplicaAbsent": ("job",),
    "MmsConfigReloadFailed": ("job",),
    "MmsAccountUnreadable": ("job", "account"),
    "MmsCredentialsRefused": ("job", "account"),
    "MmsPermissionRefused": ("job", "account"),
    "MmsThrottled": ("job", "account"),
    "MmsCollectorStale": ("job", "account"),
}
"""The labels of the alerts that are not about one source."""


def alert(name: str, **others: str) -> dict[str, str]:
    """Return the labels of an alert as Prometheus sends them."""
    own = {key: SOURCE[key] for key in LABELS.get(name, SOURCE)}
    return {"alertname": name, "severity": ALERTS[name]["labels"]["severity"], **own, **others}


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A running Alertmanager with the shipped configuration."""

    url: str

    def call(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return what the API answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback, started here
            f"{self.url}/api/v2/{path}",
            data,
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            return json.loads(answer.read() or "null")

    def waking(self, *alerts: dict[str, str]) -> set[str]:
        """Return the names of those alerts that nothing silences."""
        self.call("alerts", [{"labels": labels} for labels in alerts])
        self._wait_until_seen()
        return {each["labels"]["alertname"] for each in self._not_inhibited() if each["labels"] in alerts}

    def _not_inhibited(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = self.call("alerts?active=true&silenced=false&inhibited=false&unprocessed=true")
        return shown

    def _wait_until_seen(self) -> None:
        """Inhibition looks at alerts in turn, after they have been taken: a pair that is sent last tells when."""
        last = [alert("MmsFailureBurst", job="last"), alert("MmsTablesFailed", job="last")]
        self.call("alerts", [{"labels": labels} for labels in last])
        deadline = time.monotonic() + 30
        while last[1] in [each["labels"] for each in self._not_inhibited()]:
            assert time.monotonic() < deadline


def _listening_address(log: IO[str]) -> str:
    lines = []
    for line in log:
        lines.append(line)
        if found := re.search(r'msg="Listening on" address=(\S+)', line):
            return found[1]
    pytest.fail(f"Alertmanager does not start:\n{''.join(lines)}")


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Run an Alertmanager of its own for each test, on a free port."""
    command = [program("ALERTMANAGER"), f"--config.file={CONFIG}", f"--storage.path={tmp_path}"]
    command += ["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:  # noqa: S603 - see above
        assert process.stderr is not None
        try:
            running = Alertmanager(f"http://{_listening_address(process.stderr)}")
            _wait_until_ready(running)
            yield running
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _wait_until_ready(running: Alertmanager) -> None:
    """Its socket listens before its dispatcher runs; the API says which."""
    deadline = time.monotonic() + 30
    while running.call("status")["cluster"]["status"] not in {"ready", "disabled"}:
        assert time.monotonic() < deadline


def test_amtool_accepts_the_configuration() -> None:
    code, printed = said(program("AMTOOL"), "check-config", CONFIG)
    assert code == 0, printed
    assert f"{len(inhibit_rules())} inhibit rules" in printed


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_goes_where_its_severity_says(name: str) -> None:
    labels = [f"{key}={value}" for key, value in alert(name).items()]
    code, printed = said(program("AMTOOL"), "config", "routes", "test", f"--config.file={CONFIG}", *labels)
    assert (code, printed.splitlines()[-1]) == (0, RECEIVERS[ALERTS[name]["labels"]["severity"]])


EVERYTHING = tuple(map(alert, ALERTS))
OF_THE_ACCOUNT = tuple(each for each in EVERYTHING if "account" in each)


def of(*names: str) -> tuple[dict[str, str], ...]:
    """Return alerts of one source by their names."""
    return tuple(map(alert, names))


@pytest.mark.parametrize(
    ("alerts", "waking"),
    [
        pytest.param(EVERYTHING, {"MmsExporterAbsent"}, id="an absent exporter silences all of its job"),
        pytest.param(
            (*OF_THE_ACCOUNT, alert("MmsConfigReloadFailed")),
            {"MmsCredentialsRefused", "MmsConfigReloadFailed"},
            id="refused credentials silence all of the account, the unreadable account among it",
        ),
        pytest.param(
            tuple(each for each in OF_THE_ACCOUNT if each["alertname"] != "MmsCredentialsRefused"),
            {"MmsAccountUnreadable"},
            id="an unreadable account silences what follows from it",
        ),
        pytest.param(
            of("MmsThrottled", "MmsSourceStale", "MmsCollectorStale"), {"MmsThrottled"}, id="throttled, so stale"
        ),
        pytest.param(
            (
                alert("MmsPermissionRefused", operation="ListMmsJobs"),
                alert("MmsSourceStale"),
                alert("MmsCollectorStale", collector="jobs"),
            ),
            {"MmsPermissionRefused"},
            id="not permitted to read jobs, so stale",
        ),
        pytest.param(
            (
                alert("MmsPermissionRefused", operation="ListMmsTasks"),
                alert("MmsCollectorStale", collector="tasks"),
            ),
            {"MmsPermissionRefused"},
            id="not permitted to read tasks, so their collector is stale",
        ),
        pytest.param(
            (
                alert("MmsPermissionRefused", operation="ListMmsPartitions"),
                alert("MmsCollectorStale", collector="failures"),
            ),
            {"MmsPermissionRefused"},
            id="not permitted to list partitions, so the failures are stale",
        ),
        pytest.param(
            (
                alert("MmsPermissionRefused", operation="ListMmsTasks"),
                alert("MmsCollectorStale", collector="datasources"),
            ),
            {"MmsPermissionRefused", "MmsCollectorStale"},
            id="a denied operation silences no other collector",
        ),
        pytest.param(
            (alert("MmsPermissionRefused", operation="ListMmsTasks"), alert("MmsSourceStale")),
            {"MmsPermissionRefused", "MmsSourceStale"},
            id="a denied operation of a collector silences no stale source",
        ),
        pytest.param(
            of("MmsSourceStale", "MmsCollectorStale", "MmsMetadataOld", "MmsMigrationStalled", "MmsJobOverdue"),
            {"MmsSourceStale"},
            id="a stale source silences its collector, and what only the passing of time says",
        ),
        pytest.param(
            of("MmsSourceStale", "MmsAgentOffline", "MmsSourceStartFailed"),
            {"MmsSourceStale", "MmsSourceStartFailed"},
            id="a stale source, a ticket, silences no page",
        ),
        pytest.param(
            of("MmsSourceStartFailed", "MmsAgentOffline", "MmsMigrationStalled", "MmsMetadataOld", "MmsJobOverdue"),
            {"MmsSourceStartFailed"},
            id="a source that does not start has no agent",
        ),
        pytest.param(
            of("MmsAgentOffline", "MmsMigrationStalled", "MmsMetadataScanFailed", "MmsJobOverdue", "MmsJobFailed"),
            {"MmsAgentOffline"},
            id="without an agent nothing moves, and what runs fails",
        ),
        pytest.param(
            of("MmsFailureBurst", "MmsTablesFailed", "MmsJobFailed", "MmsMigrationStalled"),
            {"MmsFailureBurst"},
            id="one page for failures, and no tickets beside it",
        ),
        pytest.param(
            of("MmsFailureBurst", "MmsFailureReasonDominates", "MmsVerificationFailed"),
            {"MmsFailureBurst"},
            id="the page of a burst names the reason, so no ticket does",
        ),
        pytest.param(
            of("MmsFailureReasonDominates", "MmsJobFailed", "MmsTablesFailed"),
            {"MmsFailureReasonDominates"},
            id="one ticket that names the reason, and none that does not",
        ),
        pytest.param(
            of("MmsFailureReasonDominates", "MmsVerificationFailed", "MmsJobFailed", "MmsTablesFailed"),
            {"MmsFailureReasonDominates", "MmsVerificationFailed"},
            id="a mismatch and another reason are two causes",
        ),
        pytest.param(
            of("MmsVerificationFailed", "MmsJobFailed", "MmsTablesFailed"),
            {"MmsVerificationFailed", "MmsJobFailed"},
            id="one mismatch says nothing about the other failures",
        ),
        pytest.param(
            of("MmsAgentOffline", "MmsFailureBurst", "MmsFailureReasonDominates", "MmsTablesFailed"),
            {"MmsAgentOffline"},
            id="one page for an agent that is out, although everything fails",
        ),
        pytest.param(of("MmsMetadataScanFailed", "MmsMetadataOld"), {"MmsMetadataScanFailed"}, id="no scan, so old"),
        pytest.param(
            of("MmsMigrationStalled", "MmsJobOverdue", "MmsScheduleMissed"),
            {"MmsMigrationStalled"},
            id="stalled, so late",
        ),
        *(
            pytest.param(of(cause, "MmsScheduleMissed", "MmsScheduledRunFailed"), {cause}, id=f"no timer runs: {cause}")
            for cause in ("MmsAgentOffline", "MmsSourceStartFailed")
        ),
        *(
            pytest.param(of(cause, "MmsScheduledRunFailed"), {cause}, id=f"the failed run is that of {cause}")
            for cause in ("MmsFailureBurst", "MmsFailureReasonDominates", "MmsJobFailed")
        ),
        *(
            pytest.param(of(cause, "MmsMigrationFinished"), {cause}, id=f"not finished: {cause}")
            for cause in ("MmsFailureBurst", "MmsVerificationFailed", "MmsJobFailed")
        ),
        pytest.param(
            of("MmsTablesFailed", "MmsMigrationFinished"),
            {"MmsTablesFailed", "MmsMigrationFinished"},
            id="finished, with failures that nobody retries",
        ),
        pytest.param(
            of("MmsTablesFailed", "MmsScheduledRunFailed"),
            {"MmsTablesFailed", "MmsScheduledRunFailed"},
            id="old failures hide no failed run",
        ),
        pytest.param(
            of("MmsSourceStale", "MmsScheduleMissed", "MmsScheduledRunFailed"),
            {"MmsSourceStale", "MmsScheduledRunFailed"},
            id="only time makes a schedule late",
        ),
        pytest.param(
            of("MmsScheduleMissed", "MmsScheduledRunFailed", "MmsJobFailed", "MmsMigrationStalled"),
            {"MmsMigrationStalled", "MmsJobFailed"},
            id="timers inhibit nothing",
        ),
    ],
)
def test_one_cause_wakes_once(alertmanager: Alertmanager, alerts: tuple[dict[str, str], ...], waking: set[str]) -> None:
    assert alertmanager.waking(*alerts) == waking


@pytest.mark.parametrize(
    ("cause", "other"),
    [
        (alert("MmsExporterAbsent"), alert("MmsAgentOffline", job="mms-exporter-eu")),
        (alert("MmsCredentialsRefused"), alert("MmsAgentOffline", account="test")),
        (alert("MmsAccountUnreadable"), alert("MmsAgentOffline", account="test")),
        (alert("MmsAccountUnreadable"), alert("MmsExporterAbsent", job="mms-exporter-eu")),
        (alert("MmsThrottled"), alert("MmsSourceStale", account="test")),
        (alert("MmsSourceStale"), alert("MmsJobOverdue", source_id="2")),
        (alert("MmsSourceStartFailed"), alert("MmsAgentOffline", source_id="2")),
        (alert("MmsFailureBurst"), alert("MmsTablesFailed", source_id="2")),
    ],
    ids=lambda labels: str(labels["alertname"]),
)
def test_a_cause_silences_only_its_own(
    alertmanager: Alertmanager, cause: dict[str, str], other: dict[str, str]
) -> None:
    assert alertmanager.waking(cause, other) == {cause["alertname"], other["alertname"]}


OPERATIONS = {
    "datasources": ("ListMmsDataSources",),
    "jobs": ("ListMmsJobs",),
    "databases": ("ListMmsDbs",),
    "scan": ("GetMmsFetchMetadataJob", "ListMmsPartitions"),
    "failures": ("ListMmsTables", "ListMmsPartitions", "GetMmsPartition"),
    "reasons": ("ListMmsTasks", "ListMmsTaskLogs"),
    "timers": ("ListMmsTimers", "ListMmsTimerLogs"),
    "tasks": ("ListMmsTasks",),
    "watch": ("ListMmsTables", "ListMmsPartitions", "GetMmsTable", "GetMmsPartition"),
}
"""The operations of each collector."""


def test_a_denied_operation_silences_its_stale_collector(alertmanager: Alertmanager) -> None:
    assert OPERATIONS.keys() == {"datasources", *COLLECTORS, "watch"}
    pairs = [(collector, operation) for collector, operations in OPERATIONS.items() for operation in operations]
    denied = [alert("MmsPermissionRefused", account=f"{pair}", operation=pair[1]) for pair in pairs]
    stale = [alert("MmsCollectorStale", account=f"{pair}", collector=pair[0]) for pair in pairs]
    assert alertmanager.waking(*stale) == {"MmsCollectorStale"}
    assert alertmanager.waking(*denied, *stale) == {"MmsPermissionRefused"}


def test_an_absence_of_which_no_job_is_known_silences_everything(alertmanager: Alertmanager) -> None:
    nameless = {"alertname": "MmsExporterAbsent", "severity": "critical"}
    rest = [each for each in EVERYTHING if each["alertname"] != "MmsExporterAbsent"]
    assert alertmanager.waking(nameless, *rest) == {"MmsExporterAbsent"}


def test_a_source_may_be_renamed_and_still_silences(alertmanager: Alertmanager) -> None:
    assert alertmanager.waking(alert("MmsFailureBurst"), alert("MmsTablesFailed", source="hive-2")) == {
        "MmsFailureBurst"
    }


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Return whether an alert's labels meet all of a rule's matchers."""
    for matcher in matchers:
        name, operator, value = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher).groups()  # type: ignore[union-attr]  # else it fails here
        met = re.fullmatch(value, labels.get(name, "")) is not None
        if met == operator.startswith("!"):
            return False
    return True


def silencings() -> Iterator[tuple[str, str]]:
    """Yield each pair of alerts of which the first can silence the second."""
    for rule in inhibit_rules():
        for cause in EVERYTHING:
            for other in EVERYTHING:
                if matches(rule["source_matchers"], cause) and matches(rule["target_matchers"], other):
                    yield cause["alertname"], other["alertname"]


def test_no_ticket_silences_a_page() -> None:
    rank = {"info": 0, "warning": 1, "critical": 2}
    severity = {name: rank[rule["labels"]["severity"]] for name, rule in ALERTS.items()}
    pairs = set(silencings())
    assert pairs
    assert {pair for pair in pairs if severity[pair[0]] < severity[pair[1]]} == set()


def test_no_alerts_silence_each_other() -> None:
    """In a ring, each would be silenced by the one before, and nobody would be told."""
    followers: dict[str, set[str]] = {}
    for cause, other in silencings():
        followers.setdefault(cause, set()).add(other)
    free = set(ALERTS)
    while ended := {name for name in free if not followers.get(name, set()) & free}:
        free -= ended
    assert free == set()
