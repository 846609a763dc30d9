"""A release is one version everywhere; its distributions are complete."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

from exporter import __version__
from tests.programs import ROOT
from tests.release import CHART, absolute_links, notes, prepare, problems

CHANGELOG = """\
# Changelog

## Unreleased

### Added

- A metric.

## 1.2.3 - 2026-12-01

### Fixed

- A defect.

## 1.2.2 - 2026-11-01
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "Chart.yaml").write_text('version: 1.2.3\nappVersion: "1.2.3"\n', encoding="utf-8")
    return tmp_path / "Chart.yaml"


@pytest.fixture
def changelog(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    return tmp_path / "CHANGELOG.md"


def test_a_tag_that_agrees_has_no_problem(chart: Path, changelog: Path) -> None:
    assert list(problems("v1.2.3", "1.2.3", chart, changelog)) == []
    assert notes("1.2.3", changelog) == "### Fixed\n\n- A defect."


def test_every_disagreement_is_reported_with_its_file(chart: Path, changelog: Path) -> None:
    assert list(problems("v1.2.4", "1.2.3", chart, changelog)) == [
        "exporter/__init__.py: version 1.2.3, but the tag is v1.2.4",
        "Chart.yaml: version 1.2.3, but the tag is v1.2.4",
        "Chart.yaml: appVersion 1.2.3, but the tag is v1.2.4",
        'CHANGELOG.md: no section "## 1.2.4 - YYYY-MM-DD" with text',
    ]


@pytest.mark.parametrize("version", ["1.2.2", "1.2", "1x2.3"])
def test_a_version_without_text_has_no_notes(version: str, changelog: Path) -> None:
    assert notes(version, changelog) is None


def test_the_chart_has_the_version_of_the_package() -> None:
    described = yaml.safe_load(CHART.read_text(encoding="utf-8"))
    assert described["version"] == described["appVersion"] == __version__


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the distributions as the release workflow does."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "exporter", tree / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    prepare(f"v{__version__}", "0123abc", tree)
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(  # noqa: S603 - the command of the workflow
        [str(uv), "build", "--quiet", "--no-build-isolation", f"--python={sys.executable}"],
        cwd=tree,
        check=True,
        timeout=120,
    )
    return tree / "dist"


@pytest.fixture(scope="module")
def metadata(dist: Path) -> Message:
    with zipfile.ZipFile(dist / f"mms_exporter-{__version__}-py3-none-any.whl") as wheel:
        return Parser().parsestr(wheel.read(f"mms_exporter-{__version__}.dist-info/METADATA").decode())


def test_the_sdist_has_the_changelog_and_the_license(dist: Path) -> None:
    with tarfile.open(dist / f"mms_exporter-{__version__}.tar.gz") as sdist:
        files = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "exporter/__init__.py"} <= files


def test_the_package_page_links_to_the_project(metadata: Message) -> None:
    urls = [url.partition(", ")[0] for url in metadata.get_all("Project-URL", [])]
    assert sorted(urls) == ["Changelog", "Documentation", "Homepage", "Issues", "Source"]


def test_every_link_of_the_package_page_is_absolute(metadata: Message) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []


def test_links_and_images_point_to_the_files_of_the_tag() -> None:
    text = "[page](docs/x.md#part) ![picture](docs/x.png) [other](https://example.com) [here](#part)"
    assert absolute_links(text, "v1") == (
        "[page](https://github.com/mms-exporter/mms-exporter/blob/v1/docs/x.md#part)"
        " ![picture](https://raw.githubusercontent.com/mms-exporter/mms-exporter/v1/docs/x.png)"
        " [other](https://example.com) [here](#part)"
    )


def test_the_package_knows_the_commit(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"mms_exporter-{__version__}-py3-none-any.whl") as wheel:
        assert '__revision__ = "0123abc"' in wheel.read("exporter/__init__.py").decode()
