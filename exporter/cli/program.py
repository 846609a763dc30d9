"""How this program was started, for commands that a user can paste."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from exporter.cli.flags import Values
from exporter.console.output.next_command import NextCommand


def is_program() -> bool:
    """Return whether the installed command runs, not the module."""
    return Path(sys.argv[0]).name == "mms-exporter"


def installed_folder() -> Path | None:
    """Return the folder of the installed command, None without one."""
    own = Path(sys.argv[0] if is_program() else sys.executable).absolute()
    return own.parent if own.with_name("mms-exporter").is_file() else None


def program(folder: Path) -> str:
    """Return the shell words that start this program in a folder."""
    if not is_program():
        python = os.path.relpath(sys.executable, folder)
        return f"{shlex.quote(sys.executable if python.startswith('..') else python)} -m exporter"
    found = shutil.which("mms-exporter")
    is_on_path = found is not None and Path(found).resolve() == Path(sys.argv[0]).resolve()
    return "mms-exporter" if is_on_path else shlex.quote(sys.argv[0])


def next_command_of(values: Values) -> NextCommand:
    """Return the builder of commands that run in the same folder with the same configuration."""
    return NextCommand.of(values, program(Path()))
