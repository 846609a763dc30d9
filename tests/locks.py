"""Check that each lock file is complete: `python -m tests.locks`.

`pip install --no-deps` installs what a lock lists and nothing else, so a lock must list every requirement of every
package in it, extras included. The metadata of the installed packages say what they require.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
LOCKS: Final = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that the locks are for."""

Pins = Mapping[str, Requirement]


def pins_in(text: str) -> Pins:
    """Return the pinned requirements of a lock file by canonical name.

    A name that is pinned twice, for different Pythons, counts as its last line.
    """
    lines = (line.removesuffix("\\").strip() for line in text.splitlines())
    pinned = [Requirement(line) for line in lines if "==" in line and not line.startswith(("#", "--"))]
    return {canonicalize_name(each.name): each for each in pinned}


def gaps(pins: Pins, requirements: Mapping[str, list[str]]) -> list[str]:
    """Return the requirements that a lock does not meet.

    `requirements` has those of each installed package, as its metadata lists them.
    """
    found = {gap for name, pin in pins.items() for gap in _gaps_of(pin, pins, requirements.get(name, []))}
    return sorted(found)


def _gaps_of(pin: Requirement, pins: Pins, requirements: list[str]) -> Iterator[str]:
    for required in map(Requirement, requirements):
        if _applies(required, pin) and not _is_met(required, pins):
            yield f"{pin.name} requires {required.name}{_extras(required)}{required.specifier}"


def _applies(required: Requirement, pin: Requirement) -> bool:
    """Return whether a requirement holds for any supported Python with the extras that are pinned."""
    if required.marker is None:
        return True
    environments = (
        {"python_version": version, "python_full_version": f"{version}.0", "extra": extra}
        for version in PYTHONS
        for extra in ("", *pin.extras)
        if pin.marker is None or pin.marker.evaluate({"python_version": version, "python_full_version": f"{version}.0"})
    )
    return any(required.marker.evaluate(environment) for environment in environments)


def _is_met(required: Requirement, pins: Pins) -> bool:
    pin = pins.get(canonicalize_name(required.name))
    if pin is None or not required.extras <= pin.extras:
        return False
    return required.specifier.contains(_version(pin), prereleases=True)


def _version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    return specifier.version


def _extras(required: Requirement) -> str:
    return f"[{','.join(sorted(required.extras))}]" if required.extras else ""


def _installed(pins: Pins) -> dict[str, list[str]]:
    """Return the requirements of each pinned package that is installed here."""
    found = {}
    for name in pins:
        try:
            found[name] = requires(name) or []
        except PackageNotFoundError:
            continue
    return found


def main() -> int:
    """Report the gaps of each lock file and return the exit code."""
    findings = 0
    for lock in LOCKS:
        pins = pins_in((ROOT / lock).read_text(encoding="utf-8"))
        installed = _installed(pins)
        found = gaps(pins, installed)
        findings += len(found)
        sys.stdout.writelines(f"{lock}: {gap}, which the lock file does not list; run `make lock`\n" for gap in found)
        if unchecked := sorted(pins.keys() - installed.keys()):
            sys.stdout.write(f"{lock}: not installed here, so not checked: {', '.join(unchecked)}\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
