"""Logs have one event per line in each format, for any value."""

import io
import json
import logging
import re

import pytest
import structlog

from exporter.logs import FORMATS, configure
from exporter.simulator import Fault, ManualClock, Simulator, apply_event
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.harness import harness_on

HOSTILE = 'evil\nts=2025-01-01 level=error msg="forged" \r\x1b[31m \u2028 "quoted" a=b \\'


pytestmark = pytest.mark.usefixtures("restored_logging")


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_logged_value_cannot_add_a_line(log_format: str) -> None:
    stream = io.StringIO()
    configure("info", log_format, stream)
    structlog.stdlib.get_logger().warning("refresh failed", source=HOSTILE, account="a")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert "\x1b[31m" not in line


LINE_STARTS = {"logfmt": r"ts=\S+Z level=\w+ msg=", "json": r"\{\"", "console": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\S+ \["}


@pytest.mark.parametrize("log_format", FORMATS)
async def test_a_name_from_mms_cannot_add_a_line(simulator: Simulator, clock: ManualClock, log_format: str) -> None:
    stream = io.StringIO()
    configure("debug", log_format, stream)
    for source_id in simulator.world.source_ids():
        apply_event(simulator.world, events.RenameSource(source_id=source_id, name=HOSTILE))
    simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", message=HOSTILE, code=HOSTILE))
    async with harness_on(config_on(simulator.url), clock) as harness:
        await harness.refresh()
    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == 7, "one line per source, and one for the account"
    assert [line for line in lines if not re.match(LINE_STARTS[log_format], line)] == []


def test_logfmt_starts_with_time_level_and_message() -> None:
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    structlog.stdlib.get_logger().info("listening", urls="http://127.0.0.1:1", ready=False)
    line = stream.getvalue()
    assert line.startswith("ts=")
    assert line.endswith(" level=info msg=listening urls=http://127.0.0.1:1 ready=false\n")


def test_json_logs_one_object_per_line() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.stdlib.get_logger().info("listening", text=HOSTILE)
    assert json.loads(stream.getvalue())["text"] == HOSTILE


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_traceback_is_logged_with_its_error(log_format: str) -> None:
    stream = io.StringIO()
    configure("info", log_format, stream)
    try:
        int("boom")
    except ValueError:
        structlog.stdlib.get_logger().exception("unforeseen error")
    assert "ValueError" in stream.getvalue()
    assert "boom" in stream.getvalue()


def test_lines_below_the_level_are_not_logged() -> None:
    stream = io.StringIO()
    configure("warning", "logfmt", stream)
    structlog.stdlib.get_logger().info("no")
    structlog.stdlib.get_logger().warning("yes")
    assert "msg=no" not in stream.getvalue()
    assert "msg=yes" in stream.getvalue()


def test_library_warnings_are_logged() -> None:
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    logging.getLogger("asyncio").warning("slow\ncallback")
    assert stream.getvalue() == "level=WARNING logger=asyncio msg='slow\\ncallback'\n"
