"""All threads of a serving process take their memory from one place."""

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
"""Prints how many arenas beyond the first there are: glibc reserves 64 MiB of addresses for each."""
SHARED = "from exporter.heap import share_one_arena; share_one_arena()"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells")
@pytest.mark.parametrize(("prepare", "is_shared"), [("", False), (SHARED, True)], ids=["as it is", "shared"])
def test_threads_share_one_arena_once_they_are_told_to(prepare: str, *, is_shared: bool) -> None:
    command = [sys.executable, "-c", THREADS.format(prepare=prepare)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)  # noqa: S603 - the program is above
    assert (int(done.stdout) == 0) == is_shared
