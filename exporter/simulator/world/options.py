"""Options of a simulated world, and the random draws that they seed.

The defaults are an endless migration: at 60 times real speed values change every second, and every status appears
within minutes.
Each drawn number depends on its keys only, so nothing is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

_SHARES: Final = (
    *("idle_share", "stopped_share", "untouched_share"),
    *("failure_rate", "retry_failure_rate", "async_task_failure_rate"),
)
_LAGS: Final = (
    *("job_list_lag_seconds", "job_status_lag_seconds"),
    *("database_lag_seconds", "table_lag_seconds", "partition_lag_seconds"),
)
_COUNTS: Final = (
    *("sources", "tables", "partitions", "finished_jobs_per_source", "running_jobs_per_source"),
    "timers",
)
_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """Options of a world; they and the start determine it."""

    seed: int = 1
    start: float | None = None
    """Unix seconds of the start; None: the clock's time at creation."""
    sources: int = 12
    databases: int = 3
    """Databases of a source at the start."""
    tables: int = 24
    """Tables of a source at the start; scans find more later."""
    partitions: int = 12
    """Average partitions of a partitioned table; 0: no table is partitioned."""
    finished_jobs_per_source: int = 40
    """Jobs of a source that ended before the start."""
    running_jobs_per_source: int = 2
    """Unfinished jobs of an active source: each ended job is followed by the next."""
    idle_share: float = 0.2
    """Share of the sources without running jobs and changes."""
    stopped_share: float = 0.25
    """Share of the sources with one additional job that is unfinished and stopped."""
    untouched_share: float = 0.15
    """Share of the tables at the start that no job migrates; tables of running jobs are not counted."""
    failure_rate: float = 0.08
    """Share of the planned tasks that fail."""
    timers: int = 0
    """Hourly timers of a source, each for another database at the start."""
    retry_failure_rate: float = 0.0
    """Share of the tasks of created jobs that fail."""
    waves: int | None = None
    """Rounds of new tables until all jobs have ended; None: endless."""
    job_seconds: float = 1200.0
    """Average duration of a job in simulated seconds."""
    async_task_seconds: float = 15.0
    """Duration of CreateMmsJob's asynchronous task in simulated seconds."""
    async_task_failure_rate: float = 0.0
    """Share of those tasks that fail and create no job."""
    job_name_filters_source: bool = False
    """Whether `name` of ListMmsJobs filters by source name, as the vendor documents it, and not by job name."""
    hides_stopped: bool = False
    """Whether lists by status omit stopped jobs and tasks; then `stopped=0` is no filter, as in the ancestor of MMS."""
    job_list_lag_seconds: float = 0.0
    """Delay before ListMmsJobs has a created job that GetMmsAsyncTask and GetMmsJob already have."""
    job_status_lag_seconds: float = 0.0
    """Age of job status and counters in ListMmsJobs and GetMmsJob."""
    database_lag_seconds: float = 0.0
    """Age of the rows of ListMmsDbs."""
    table_lag_seconds: float = 0.0
    """Age of the rows of ListMmsTables and GetMmsTable."""
    partition_lag_seconds: float = 0.0
    """Age of the rows of ListMmsPartitions and GetMmsPartition."""
    incidents: bool = True
    """Whether agents go offline, metadata scans fail and one source restarts."""
    special_sources: bool = True
    """Whether the last 4 of at least 6 sources are restarting, finished, STOPPED and START_FAILED."""
    zone: str = "Asia/Shanghai"
    """Time zone of the API's times."""
    region: str = "cn-shanghai"

    def __post_init__(self) -> None:
        problems = [name for name in (*_COUNTS, *_LAGS) if getattr(self, name) < 0]
        problems += [name for name in _SHARES if not 0 <= getattr(self, name) <= 1]
        problems += [name for name in ("databases", "job_seconds", "async_task_seconds") if getattr(self, name) <= 0]
        problems += ["waves"] if self.waves is not None and self.waves < 1 else []
        if problems:
            raise ValueError("out of range: " + ", ".join(problems))


def draw(*keys: int) -> int:
    """Return 64 bits from `keys`: SplitMix64 folded over them."""
    state = 0
    for key in keys:
        state = (state + key + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def chance(*keys: int) -> float:
    """Return a number in [0, 1) from `keys`."""
    return (draw(*keys) >> 11) / (1 << 53)


def pick(items: Sequence[_Item], *keys: int) -> _Item:
    """Return one of `items`, chosen by `keys`."""
    return items[draw(*keys) % len(items)]


def seeded_rng(*keys: int) -> Random:
    """Return a generator seeded with `keys`."""
    return Random(draw(*keys))  # noqa: S311 - a story is drawn here, not a secret
