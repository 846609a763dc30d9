"""Retired words and phrases stay out of the texts that people read; each has a standard term."""

import re
from typing import Final

import pytest

from exporter.cli import arguments
from exporter.cli.commands import COMMANDS
from tests.programs import ROOT

READ_BY_PEOPLE: Final = (
    "CHANGELOG.md",
    "Dockerfile",
    "Makefile",
    "README.md",
    "deploy/*.*",
    "deploy/alertmanager/*.yml",
    "deploy/compose/**/*.*",
    "deploy/gitops/*.*",
    "deploy/helm/**/*.*",
    "deploy/prometheus/**/*.*",
    "deploy/ram/**/*.*",
    "deploy/systemd/*.*",
    "docs/commands.md",
    "docs/compatibility.md",
    "docs/configuration.*",
    "docs/glossary.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/runbooks/*.md",
    "docs/sizing.md",
    "docs/status.*",
    "exporter/web/status/templates/*.*",
    "grafana/README.md",
    "grafana/dashboards/*.json",
    "tests/configs/invalid/*.txt",
    "tests/samples/README.md",
    "tests/web/configs/*.txt",
)
"""Globs of the checked files; add each page that is written in plain words. docs/metrics.md has all HELP texts."""

RETIRED: Final = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again; reload",
    r"(is|are|was|were|be|been) told": "receives; is reported; is logged",
    r"(come|comes|came) (to|of) nothing": "fails",
    r"(hear|hears|heard|hearing) out": "reads to the end",
    r"doorm[ae]n": "middleware; verifier",
    r"at the door": "before the request is handled",
    r"(half|quarter of) an hour": "30 minutes; 15 minutes",
    r"for a moment|some (dozens|hundreds)": "a number with its unit",
    r"wakes? (a person|somebody|someone|once)": "pages; sends one notification",
    r"makes? a ticket": "opens a ticket",
    r"makes? room": "evicts",
    r"outweighs?": "takes precedence over",
    r"outgrows?": "scales out",
    r"(could|can)( ?not|not) be asked": "no data",
    r"upon (the other|one another)": "stacked",
    r"(for )?the one that holds": "the active one",
    r"(under way|finished|done) lately": "unfinished; recently finished",
    r"under way": "unfinished; running",
    r"(partitions|tables|done) an hour": "per hour",
    r"past their eta": "overdue",
    r"(if the|the) pace stays": "at current pace",
    r"wait(s|ing)? for the limiter": "rate-limit wait",
    r"(asks|wants|calls) for (a look|attention)": "needs attention",
}
"""Regular expressions of retired phrases, and what to write instead. A space matches any white space."""

PATTERNS: Final = {
    re.compile(rf"(?<![\w-])({phrase})(?![\w-])".replace(" ", r"\s+"), re.IGNORECASE): term
    for phrase, term in RETIRED.items()
}
FILES: Final = sorted({path for pattern in READ_BY_PEOPLE for path in ROOT.glob(pattern) if path.is_file()})


def retired_in(text: str) -> list[str]:
    """Return each retired phrase of a text with its line and the standard term."""
    return [
        f"line {text.count(chr(10), 0, found.start()) + 1}: {found[0]!r}; write: {term}"
        for pattern, term in PATTERNS.items()
        for found in pattern.finditer(text)
    ]


def test_files_have_no_retired_words() -> None:
    found = {str(file.relative_to(ROOT)): retired_in(file.read_text(encoding="utf-8")) for file in FILES}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_retired_words(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parse([*([] if command == "serve" else [command]), "--help"], {})
    assert retired_in(capsys.readouterr().out) == []


def test_every_glob_finds_a_file() -> None:
    assert [pattern for pattern in READ_BY_PEOPLE if not any(ROOT.glob(pattern))] == []


def test_a_retired_phrase_is_found_across_lines_and_not_inside_a_word() -> None:
    assert retired_in("It\nis\ntold so, half an hour ago.") == [
        "line 2: 'is\\ntold'; write: receives; is reported; is logged",
        "line 3: 'half an hour'; write: 30 minutes; 15 minutes",
    ]
    assert retired_in("Commend the untold; recommended as 'canew'.") == []
