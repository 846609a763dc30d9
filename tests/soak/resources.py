"""Resources of a process as the kernel reports them, and its asyncio tasks. Knows nothing of MMS."""

import asyncio
import json
import os
import re
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TELLING: Final = """
import asyncio, json, os, signal, sys
from exporter.cli.main import main

def tell(*_):
    names = sorted(task.get_name().rstrip("0123456789") for task in asyncio.all_tasks())
    with open(os.environ["TASKS_FILE"] + ".new", "w") as file:
        json.dump(names, file)
    os.replace(file.name, os.environ["TASKS_FILE"])

signal.signal(signal.SIGUSR1, tell)
sys.exit(main())
"""
"""The program; on SIGUSR1 it writes the names of its tasks to TASKS_FILE."""


@dataclass(frozen=True)
class Resources:
    """Resources of a process at one moment."""

    threads: int
    files: int
    """File descriptors except sockets."""
    sockets: int
    resident_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.threads} threads, {self.files} files, {self.sockets} sockets, {self.resident_bytes / 2**20:.1f} MiB"
        )


@dataclass(frozen=True)
class ProcessSnapshot:
    """State of a process between two refreshes."""

    resources: Resources
    tasks: Counter[str]
    """Count by name."""

    def __str__(self) -> str:
        return f"{self.resources}, tasks {dict(self.tasks)}"


def resources_of(pid: int) -> Resources:
    """Return the current resources of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    numbers = dict(re.findall(r"^(Threads|VmRSS):\s+(\d+)", status, re.MULTILINE))
    kinds = Counter(link.startswith("socket:") for link in _links(pid))
    return Resources(int(numbers["Threads"]), kinds[False], kinds[True], int(numbers["VmRSS"]) * 1024)


def _links(pid: int) -> list[str]:
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in the meantime
            links.append(str(descriptor.readlink()))
    return links


async def tasks_of(pid: int, file: Path) -> Counter[str]:
    """Return task counts by name without numbers.

    `file` is the TASKS_FILE of the process.
    """
    file.unlink(missing_ok=True)  # noqa: ASYNC240 - a file of a few bytes
    os.kill(pid, signal.SIGUSR1)
    async with asyncio.timeout(10):
        while not file.exists():  # noqa: ASYNC110, ASYNC240 - the other process sets no event of ours
            await asyncio.sleep(0.01)
    names: list[str] = json.loads(file.read_text(encoding="utf-8"))  # noqa: ASYNC240 - a few bytes
    return Counter(names)
