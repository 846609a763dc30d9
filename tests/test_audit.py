"""What an audit makes of the reports of its tools, and of none."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import audit
from tests.audit import new_secrets, unaudited, vulnerabilities
from tests.locks import LOCKS
from tests.programs import ROOT

REPORT: dict[str, Any] = {
    "dependencies": [
        {"name": "fine", "version": "1", "vulns": []},
        {"name": "holed", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]},
        {"name": "unheard-of", "skip_reason": "Dependency not found"},
    ]
}


def scan(**files: str) -> dict[str, Any]:
    return {
        "results": {
            file: [{"type": "Secret Keyword", "hashed_secret": value, "line_number": 7}]
            for file, value in files.items()
        }
    }


def test_a_vulnerability_is_told_with_the_version_that_mends_it() -> None:
    assert vulnerabilities(REPORT) == ["holed 2: PYSEC-1, fixed in 2.1"]


def test_what_could_not_be_audited_is_not_taken_for_sound() -> None:
    assert unaudited(REPORT) == ["unheard-of"]


def test_a_secret_is_new_by_its_file_and_itself() -> None:
    assert new_secrets(scan(a="x", b="y"), scan(a="x", c="y")) == ["b:7: Secret Keyword"]


Answering = Callable[[str, str], None]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Return what has pip-audit, whatever it is asked, print this and complain of that; the scan finds nothing new."""

    def answer(out: str, err: str) -> None:
        def said(tool: str, *_: str) -> tuple[str, str]:
            return (out, err) if tool == "pip_audit" else (json.dumps(scan()), "")

        monkeypatch.setattr(audit, "_said", said)
        monkeypatch.setattr("sys.argv", ["audit"])

    return answer


def test_every_lock_file_is_audited() -> None:
    assert sorted(LOCKS) == sorted(path.name for path in ROOT.glob("*.lock"))


@pytest.mark.parametrize("out", ["", "<html>blocked</html>", "{"], ids=["nothing", "a page", "a part"])
def test_where_the_data_cannot_be_reached_it_is_said_of_each_lock_file_and_is_no_finding(
    answering: Answering, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    answering(out, "Traceback\nConnectionError: no route to host")
    assert audit.main() == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in said] == list(LOCKS)
    assert all("NOT audited" in line and "no route to host" in line for line in said)


def test_what_no_data_are_known_of_is_said_with_what_was_found(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(json.dumps(REPORT), "")
    assert audit.main() == 1
    said = capsys.readouterr().out.splitlines()
    for lock in LOCKS:
        assert f"{lock}: 1 of 3 dependencies NOT audited, no data of them here" in said
        assert f"{lock}: holed 2: PYSEC-1, fixed in 2.1" in said


def test_where_all_is_known_and_sound_nothing_is_said(answering: Answering, capsys: pytest.CaptureFixture[str]) -> None:
    answering(json.dumps({"dependencies": REPORT["dependencies"][:1]}), "")
    assert (audit.main(), capsys.readouterr().out) == (0, "")
