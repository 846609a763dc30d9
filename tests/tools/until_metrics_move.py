"""Wait until a metric of a running demo changes: `python -m tests.tools.until_metrics_move LOG`.

LOG is the output of `mms-exporter demo`, which prints the address of the metrics.
"""

import re
import sys
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TypeVar

from tests.exposition_parser import read
from tests.harness import LIMIT_SECONDS

T = TypeVar("T")


def until(value: Callable[[], T | None], what: str) -> T:
    """Return the first value that is not empty, polled for. Raises: TimeoutError."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        if found := value():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"not within {LIMIT_SECONDS:g} s: {what}")


def done(address: str) -> float:
    """Return the number of migrated partitions; 0 before the first refresh."""
    with closing(HTTPConnection(address, timeout=LIMIT_SECONDS)) as connection:
        connection.request("GET", "/metrics")
        return sum(read(connection.getresponse().read()).having("mms_partitions", status="DONE").values())


def main() -> None:
    """Wait for the address, a first number, and a greater one."""
    log = Path(sys.argv[1])
    address = until(lambda: re.search(r"http://(\S+)/metrics", log.read_text(encoding="utf-8")), "an address")[1]
    first = until(lambda: done(address), "the first refresh")
    until(lambda: done(address) > first, "more migrated partitions")


if __name__ == "__main__":
    main()
