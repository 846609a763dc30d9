"""Description and load of the machine. Reads /proc, so it needs Linux."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def description() -> str:
    """Return processor, memory and versions in one line."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "msgspec", "prometheus_client"))
    return (
        f"{os.cpu_count()} x {_processor()}, {gibibytes:.0f} GiB; Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}; {libraries}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")


def load() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0]


def resident_mebibytes(process: int | str = "self") -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def thread_milliseconds() -> dict[str, tuple[float, float]]:
    """Return running and CPU wait milliseconds of each thread."""
    times: dict[str, tuple[float, float]] = {}
    for folder in Path("/proc/self/task").iterdir():
        try:
            ran, waited, _ = (folder / "schedstat").read_text(encoding="ascii").split()
        except OSError:  # the thread has just ended
            continue
        times[folder.name] = int(ran) / 1e6, int(waited) / 1e6
    return times
