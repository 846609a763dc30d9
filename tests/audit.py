"""Vulnerabilities that are known of the locked dependencies, and what looks like a secret: `python -m tests.audit`.

A finding fails. Data that cannot be reached from here does not, but it is said: nothing was found is another matter.
After a look, what only looks like a secret is made known: `python -m tests.audit --accept`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.locks import LOCKS, ROOT

BASELINE: Final = ROOT / ".secrets.baseline"
SCAN: Final = ("detect_secrets", "scan", "--no-verify", "--exclude-files", rf"^{re.escape(BASELINE.name)}$")


def vulnerabilities(report: Mapping[str, Any]) -> list[str]:
    """Return what pip-audit's report knows against a dependency."""
    return [
        f"{each['name']} {each['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'nothing yet'}"
        for each in report["dependencies"]
        for known in each.get("vulns", ())
    ]


def unaudited(report: Mapping[str, Any]) -> list[str]:
    """Return the dependencies of which pip-audit could learn nothing."""
    return [each["name"] for each in report["dependencies"] if "skip_reason" in each]


def new_secrets(found: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return what looks like a secret in one scan and not in another, wherever in its file it stands now."""
    seen = set(_hashes(known))
    return [
        f"{file}:{each['line_number']}: {each['type']}"
        for file, rows in found["results"].items()
        for each in rows
        if (file, each["hashed_secret"]) not in seen
    ]


def _hashes(scan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((file, each["hashed_secret"]) for file, rows in scan["results"].items() for each in rows)


def _said(*command: str) -> tuple[str, str]:
    done = subprocess.run(  # noqa: S603 - the commands are this module's own
        [sys.executable, "-m", *command], cwd=ROOT, check=False, capture_output=True, text=True, timeout=300
    )
    return done.stdout, done.stderr


def audited(lock: str) -> list[str]:
    """Return what is known against the dependencies of a lock file, and say what could not be learned."""
    out, err = _said("pip_audit", "-r", lock, "--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off")
    try:
        report = json.loads(out)
    except ValueError:
        _say(f"{lock}: NOT audited, the vulnerability data cannot be reached: {err.strip().splitlines()[-1:]}")
        return []
    if skipped := unaudited(report):
        _say(f"{lock}: {len(skipped)} of {len(report['dependencies'])} dependencies NOT audited, no data of them here")
    return [f"{lock}: {each}" for each in vulnerabilities(report)]


def scanned() -> list[str]:
    """Return what looks like a secret in the tree and is not known to be none."""
    return new_secrets(json.loads(_said(*SCAN)[0]), json.loads(BASELINE.read_text(encoding="utf-8")))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    """Audit and scan, or accept what a scan finds, and return the exit code."""
    if sys.argv[1:] == ["--accept"]:
        BASELINE.write_text(_said(*SCAN)[0], encoding="utf-8")
        return 0
    findings = [*(finding for lock in LOCKS for finding in audited(lock)), *scanned()]
    for finding in findings:
        _say(finding)
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
