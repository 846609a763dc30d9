"""How this program logs: one event a line on standard error, as logfmt, JSON, or for people.

Owns structlog's set-up. No value that is logged can add a line or a field: each renderer quotes what it is given.
"""

import logging
import sys
from typing import Final, TextIO

import structlog

from exporter.masking import printable

FORMATS: Final = ("logfmt", "json", "console")
LEVELS: Final = ("debug", "info", "warning", "error")


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every log line to `stream`, standard error by default; `level` of LEVELS, `log_format` of FORMATS."""
    stream = stream or sys.stderr
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    elif log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the rich one shows local variables, secrets among them
        )
    else:
        renderer = structlog.processors.LogfmtRenderer(key_order=["ts", "level", "msg"], bool_as_flag=False)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts" if log_format != "console" else "timestamp"),
        structlog.processors.UnicodeDecoder(),
    ]
    if log_format != "console":
        shared += [structlog.processors.format_exc_info, structlog.processors.EventRenamer("msg")]
    if log_format == "logfmt":
        shared.append(_printable)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _quiet_libraries(stream)


def _printable(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape what a terminal or a reader of lines would act on; logfmt itself only escapes quotes and newlines."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _quiet_libraries(stream: TextIO) -> None:
    """Send the libraries' own warnings the same way out, as plain lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("level=%(levelname)s logger=%(name)s msg=%(message)r"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
