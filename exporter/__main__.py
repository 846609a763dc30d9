"""Entry point of `mms-exporter` and `python -m exporter`. Handles Ctrl-C before heavy imports."""

import os
import sys

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        import signal  # noqa: PLC0415 - imports other modules

        # SIGINT that the parent ignores, as `nohup` does, stays ignored.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Exit at once: an exception could be raised in an import, or in code that ignores it.
            signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
        from exporter.cli import main as command_line  # noqa: PLC0415 - heavy
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
