"""The command `mms-exporter`: runs a command line and turns errors into a message and an exit code.

Nothing imports it. Only the package `cli` reads the environment.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from exporter import logs, runtime
from exporter.cli import arguments
from exporter.cli.commands import COMMANDS
from exporter.cli.execution import print_error, print_output
from exporter.errors import ConfigError, ExporterError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    runtime.open_missing_streams()
    code = _exit_code(sys.argv[1:] if argv is None else argv)
    return code if print_output(b"") else code or EXIT_FAILED


def _exit_code(argv: Sequence[str]) -> int:
    try:
        invocation = arguments.parse(argv, os.environ)
        logs.configure(invocation.values["log.level"], invocation.values["log.format"])
        return EXIT_OK if COMMANDS[invocation.command].run(invocation.values) else EXIT_FAILED
    except ConfigError as error:
        for problem in error.problems:
            print_error(problem)
        return EXIT_USAGE
    except ExporterError as error:
        print_error(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except asyncio.CancelledError:
        return EXIT_FAILED
    except SystemExit as error:  # argparse has printed the error
        return EXIT_USAGE if error.code else EXIT_OK
