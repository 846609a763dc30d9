"""Every command in the documents: which test runs it, or why none does and what is looked at in its place.

The one list of what is not run; a command that neither table knows fails a test.
"""

import re
from pathlib import Path
from typing import Final

from tests.programs import ROOT

PAGES: Final = [
    *sorted(set(ROOT.glob("*.md")) - {ROOT / "CHANGELOG.md"}),
    *(page for folder in ("deploy", "docs", "grafana") for page in sorted((ROOT / folder).rglob("*.md"))),
]
VARIABLE: Final = re.compile(r'"\$\w+"')
FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)

DOCUMENTS: Final = "tests/test_documented_commands.py"
DEMO: Final = "tests/test_demo.py"
TRANSCRIPTS: Final = "tests/console/test_commands_page.py"
DEPLOYED: Final = "tests/deploy/test_commands.py"
ALIBABA_CLOUD: Final = "tests/deploy/test_alibaba_cloud.py"
OPERATORS: Final = "tests/cluster/test_operators.py"
MACHINE: Final = "tests/deploy/test_machine.py"
ALERTING: Final = "tests/deploy/test_alerting.py"
RULES: Final = "tests/rules/test_rules.py"
RUNBOOKS: Final = "tests/rules/test_runbooks.py"
WEB_CONFIG: Final = "tests/web/test_web_config.py"
RUN: Final = {
    "make demo": DOCUMENTS,
    "make install": DOCUMENTS,
    "curl": DOCUMENTS,
    "mms-exporter --": DOCUMENTS,
    ".venv/bin/mms-exporter": DOCUMENTS,
    "mms-exporter check --config.file": DOCUMENTS,
    "mms-exporter once --config.file": DOCUMENTS,
    "mms-exporter retry --config.file=config.yaml --source=prod-hive --failed --dry-run": DOCUMENTS,
    "mms-exporter": TRANSCRIPTS,
    "mms-exporter jobs --source='hive-*'": DEMO,
    "mms-exporter failed --database=finance --limit=5": DEMO,
    "mms-exporter failed --table='finance.*'": DEMO,
    "mms-exporter show table sales.orders": DEMO,
    "mms-exporter report --source=hive-sales-001 --output=json": DEMO,
    "mms-exporter retry --source=hive-sales-001 --failed --dry-run": DEMO,
    "promtool check": DEPLOYED,
    **dict.fromkeys(("awk ", "promtool check rules RecordingRule.yaml", "helm template"), ALIBABA_CLOUD),
    "amtool": DEPLOYED,
    "pint": DEPLOYED,
    "systemd-analyze security": DEPLOYED,
    "helm install": DEPLOYED,
    "helm upgrade": DEPLOYED,
    **dict.fromkeys(("cp ", "cd ", "sed "), ALERTING),
    "helm upgrade --install mms-exporter": ALERTING,
    "kubectl apply": OPERATORS,
    "promtool test": RULES,
    ".venv/bin/python -c 'import bcrypt": WEB_CONFIG,
    "/usr/bin/python3 -m venv": MACHINE,
    "/opt/mms-exporter/bin/pip": MACHINE,
    "install": MACHINE,
    "systemctl": MACHINE,
    "systemd-analyze verify": MACHINE,
}
"""Which test runs a command, by how it begins; the longest beginning decides."""
NOT_RUN: Final = {
    "make lint": "CI runs it; that the target is there is looked at",
    "make test": "it is what runs these tests; that the target is there is looked at",
    "mms-exporter retry --config.file=config.yaml --source=prod-hive --failed --watch": (
        "it writes, and waits for the end of a migration: tests/retry does both in a simulated hour; here it is parsed"
    ),
    "docker build": "needs an engine: tests/deploy/test_image.py runs the Dockerfile's steps; its arguments are read",
    "docker push": "needs a registry: that the chart asks for what is pushed is looked at",
    "docker run": "needs an engine: tests/deploy/test_image.py runs the image's tree; the exporter's words are parsed",
    "docker compose": "needs an engine: the project is read as Compose does, with the services that are named",
    "MMS_CONFIG=": "needs an engine: likewise, with the variable",
    "helm upgrade kube-prometheus-stack": "needs a cluster: Alertmanager runs with the configuration in its values",
    "helm test": "needs a cluster: tests/deploy/test_helm.py parses what its pod runs",
    "kubectl": "needs a cluster: what it would make is validated, and compared with what the chart mounts",
    "curl -sS": "needs an endpoint of MMS or a running exporter of the reader",
    "curl -fsS": "likewise",
    "amtool silence": "needs a running Alertmanager",
    "systemctl status": "prints the state of the reader's machine",
    "htpasswd": "is Apache's: tests/web/test_toolkit.py logs in by a hash in its form",
    "aliyun": "needs an account: its documents and the names in it are compared with each other",
}
"""Why a command is run by no test, and what is looked at instead, by how it begins."""


def place_of(command: str) -> str | None:
    """Return the test that runs or parses a command, or why none does; None for an unknown command."""
    if command.startswith("mms-exporter") and VARIABLE.search(command):
        return RUNBOOKS
    beginnings = [each for each in (*RUN, *NOT_RUN) if command.startswith(each)]
    return {**RUN, **NOT_RUN}[max(beginnings, key=len)] if beginnings else None


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [match[3] for match in FENCE.finditer(page.read_text(encoding="utf-8")) if match[2] == language]


def languages(page: Path) -> set[str]:
    """Return the languages of a page's fenced blocks."""
    return {match[2] for match in FENCE.finditer(page.read_text(encoding="utf-8"))}


def commands(*pages: Path) -> list[str]:
    """Return every command line in a block of these pages, or of all, each once."""
    found = []
    for page in pages or PAGES:
        for text in blocks(page, "sh"):
            lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
            found += [line for line in lines if line and not line.startswith("#")]
        for text in blocks(page, "console"):
            found += [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return list(dict.fromkeys(found))
