"""A lock lists all that its packages require, extras included."""

from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.locks import LOCKS, ROOT, gaps, pins_in

PINNED = """pytest-cov==7.1.0 \\
    --hash=sha256:0000
coverage==7.17.3 ; python_full_version < '3.14' \\
    --hash=sha256:1111
"""


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        ("coverage>=7.10.6", []),
        ("coverage>=7.10.6; extra == 'toml'", []),
        ("coverage[toml]>=7.10.6", ["pytest-cov requires coverage[toml]>=7.10.6"]),
        ("coverage>=8", ["pytest-cov requires coverage>=8"]),
        ("pluggy>=1.2", ["pytest-cov requires pluggy>=1.2"]),
        ("pluggy>=1.2; python_version < '3.12'", ["pytest-cov requires pluggy>=1.2"]),
        ("pluggy>=1.2; python_version < '3.11'", []),
        ("pluggy>=1.2; sys_platform == 'win32'", []),
    ],
)
def test_a_requirement_that_no_pin_meets_is_a_gap(required: str, missing: list[str]) -> None:
    assert gaps(pins_in(PINNED), {"pytest-cov": [required]}) == missing


def test_an_extra_that_is_pinned_brings_its_requirements() -> None:
    pins = pins_in(PINNED.replace("coverage==", "coverage[toml]=="))
    assert gaps(pins, {"coverage": ["tomli; extra == 'toml'"]}) == ["coverage requires tomli"]


@pytest.mark.parametrize("lock", LOCKS)
def test_each_line_of_a_lock_pins_one_version_by_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = pins_in(text)
    lines = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert {Requirement(line.removesuffix("\\")).name for line in lines} == {pin.name for pin in pins.values()}
    assert all(line.endswith("\\") for line in lines), "a hash follows"
    assert "://" not in text


def test_the_locked_versions_are_installed() -> None:
    pins = pins_in((ROOT / "requirements-dev.lock").read_text(encoding="utf-8"))
    installed: dict[str, str] = {canonicalize_name(each.metadata["Name"]): each.version for each in distributions()}
    different = {
        name for name, pin in pins.items() if name in installed and not pin.specifier.contains(installed[name])
    }
    assert different == set()
