"""The entry point: `mms-exporter` and `python -m exporter`. Imports nothing heavy before Ctrl-C is handled."""

import os
import sys

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 and the number of SIGINT, as shells count."""


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        import signal  # noqa: PLC0415 - it imports others

        # What is ignored from the start, as after `nohup`, is meant to be.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # An exception could be raised in any import, and in code that reports it as ignored: leave at once.
            signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        from exporter.cli import main as command_line  # noqa: PLC0415 - heavy
    except KeyboardInterrupt:
        return INTERRUPTED
    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
