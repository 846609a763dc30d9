"""What an audit makes of the reports of its tools."""

from typing import Any

from tests.audit import new_secrets, unaudited, vulnerabilities

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
