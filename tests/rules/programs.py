"""Where the programs are that say whether rules are right, and how they are run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FETCHED = ROOT / ".tools" / "bin"

NAMES = {
    "PROMTOOL": ("promtool",),
    "PROMETHEUS": ("prometheus",),
    "ALERTMANAGER": ("alertmanager", "prometheus-alertmanager"),
    "AMTOOL": ("amtool",),
    "PINT": ("pint",),
}
"""The environment variable that names a program, and what it is called on PATH: Debian's names too."""


def program(variable: str) -> str:
    """Return the path of a program; without it, fail under CI and skip elsewhere."""
    path = f"{FETCHED}{os.pathsep}{os.environ.get('PATH', '')}"
    names = (os.environ.get(variable) or "", *NAMES[variable])
    found = next((each for name in names if name and (each := shutil.which(name, path=path))), None)
    if found is not None:
        return found
    reason = f"{NAMES[variable][0]} is not here: name it in {variable} or put it on PATH"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def said(*command: str | Path, cwd: Path = ROOT) -> tuple[int, str]:
    """Run a command and return its exit code and all it printed."""
    done = subprocess.run(  # noqa: S603 - the commands are this directory's own
        list(map(str, command)),
        cwd=cwd,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout
