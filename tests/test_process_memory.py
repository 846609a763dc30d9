"""Memory settings: one malloc arena, and free memory returned to the system."""

import subprocess
import sys

import pytest

from tests.programs import ROOT

THREADS = """
import re
import threading
from pathlib import Path

{prepare}

def work(barrier: threading.Barrier) -> None:
    held = [bytearray(size) for size in range(1000, 100_000, 1000)]
    barrier.wait()
    del held

barrier = threading.Barrier(4)
threads = [threading.Thread(target=work, args=(barrier,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ranges = re.findall(r"^(\\w+)-(\\w+) ---p 00000000 00:00 0", Path("/proc/self/maps").read_text(), re.MULTILINE)
print(sum(int(end, 16) - int(begin, 16) > 2**25 for begin, end in ranges))
"""
"""Prints the number of additional arenas; glibc reserves 64 MiB of addresses for each."""
SHARED = "from exporter.process_memory import limit_malloc_arenas; limit_malloc_arenas()"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("prepare", "is_shared"), [("", False), (SHARED, True)], ids=["default", "limited"])
def test_threads_share_one_arena_with_the_limit(prepare: str, *, is_shared: bool) -> None:
    command = [sys.executable, "-c", THREADS.format(prepare=prepare)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - the program is above
    assert (int(done.stdout) == 0) == is_shared


HOLES = """
from pathlib import Path

from exporter.process_memory import trim_heap

def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])

held = [b"x" * 65536 for _ in range(1000)]
del held[::2]
before = resident_pages()
trim_heap()
print(before - resident_pages())
"""
"""Prints the number of returned pages, from 500 holes of 16 pages each."""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_trim_heap_returns_holes_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - the program is above
    assert int(done.stdout) > 500 * 14
