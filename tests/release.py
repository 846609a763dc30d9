"""Steps of a release; each has a line in `.github/workflows/release.yml`.

`python -m tests.release notes v1.2.3` checks that the tag agrees with package, chart and CHANGELOG and prints the notes
of that version. `python -m tests.release prepare v1.2.3 COMMIT` writes the commit into the package and makes the links
of the README absolute, because the package page on PyPI has no files beside it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from exporter import __version__
from tests.locks import ROOT

CHART: Final = ROOT / "deploy" / "helm" / "mms-exporter" / "Chart.yaml"
CHANGELOG: Final = ROOT / "CHANGELOG.md"
PAGES: Final = "https://github.com/mms-exporter/mms-exporter/blob"
PICTURES: Final = "https://raw.githubusercontent.com/mms-exporter/mms-exporter"


def problems(tag: str, version: str, chart: Path, changelog: Path) -> Iterator[str]:
    """Yield what disagrees with the tag, each with its file."""
    wanted = tag.removeprefix("v")
    if tag != f"v{version}":
        yield f"exporter/__init__.py: version {version}, but the tag is {tag}"
    described = yaml.safe_load(chart.read_text(encoding="utf-8"))
    for key in ("version", "appVersion"):
        if described[key] != wanted:
            yield f"{chart.name}: {key} {described[key]}, but the tag is {tag}"
    if notes(wanted, changelog) is None:
        yield f'{changelog.name}: no section "## {wanted} - YYYY-MM-DD" with text'


def notes(version: str, changelog: Path) -> str | None:
    """Return the section of a version without its heading; None if there is none."""
    heading = rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}\n(.+?)(?=^## |\Z)", changelog.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found[1].strip() or None if found else None


def absolute_links(text: str, tag: str) -> str:
    """Return Markdown whose links and images point to the files of a tag on GitHub."""

    def absolute(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}{PICTURES if found[1] else PAGES}/{tag}/{found[3]}"

    return re.sub(r"(!?)(\[[^\]]*\]\()(?!https?://|#)([^)]+)", absolute, text)


def prepare(tag: str, commit: str, root: Path) -> None:
    """Write commit and absolute links into the tree that the distributions are built from."""
    package, readme = root / "exporter" / "__init__.py", root / "README.md"
    text = package.read_text(encoding="utf-8").replace('__revision__ = "unknown"', f'__revision__ = "{commit}"')
    package.write_text(text, encoding="utf-8")
    readme.write_text(absolute_links(readme.read_text(encoding="utf-8"), tag), encoding="utf-8")


def main() -> int:
    """Run the step that the arguments name and return the exit code."""
    step, tag, *rest = sys.argv[1:]
    if step == "prepare":
        prepare(tag, rest[0], ROOT)
        return 0
    found = list(problems(tag, __version__, CHART, CHANGELOG))
    sys.stderr.writelines(f"{each}\n" for each in found)
    if not found:
        sys.stdout.write(f"{notes(tag.removeprefix('v'), CHANGELOG)}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
