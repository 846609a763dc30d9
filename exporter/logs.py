"""Logging set-up: one event per line on standard error, as logfmt, JSON or console text.

Owns the configuration of structlog. Every renderer quotes values, so that a value cannot add a line or a field.
"""

import logging
import sys
from typing import Final, TextIO

import structlog

from exporter.masking import printable

FORMATS: Final = ("logfmt", "json", "console")
LEVELS: Final = ("debug", "info", "warning", "error")


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Configure logging to `stream`; the default is standard error.

    `level` is one of LEVELS, `log_format` one of FORMATS.
    """
    stream = stream or sys.stderr
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    elif log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the default shows local variables and their secrets
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
        shared.append(_escape_control_characters)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_library_warnings(stream)


def _escape_control_characters(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # The logfmt renderer escapes only quotes and newlines, but no other control characters.
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _route_library_warnings(stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("level=%(levelname)s logger=%(name)s msg=%(message)r"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
