"""The shape of a simulated world.

The defaults tell the demo's story: at DEMO_SPEED figures move every second, and every status is seen within minutes.
"""

from dataclasses import dataclass
from typing import Final

DEMO_SPEED: Final = 60.0
"""Simulated seconds in one of the machine's."""
_SHARES: Final = (
    *("idle_share", "stopped_share", "untouched_share"),
    *("failure_rate", "retry_failure_rate", "async_task_failure_rate"),
)
_LAGS: Final = ("job_list_lag_seconds", "job_status_lag_seconds", "table_lag_seconds", "partition_lag_seconds")
_COUNTS: Final = ("sources", "tables", "partitions", "finished_jobs_per_source", "running_jobs_per_source")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """What a world is made of; equal options and an equal start give an equal story."""

    seed: int = 1
    start: float | None = None
    """Unix seconds at which the story begins; None: the clock's time when the world is made."""
    sources: int = 12
    databases: int = 3
    """Databases of a source at the start."""
    tables: int = 24
    """Tables of a source at the start; more are found as the story goes on."""
    partitions: int = 12
    """Partitions of a partitioned table, on average; 0: no table has any."""
    finished_jobs_per_source: int = 40
    """Jobs of a source that have ended at the start."""
    running_jobs_per_source: int = 2
    """Unfinished jobs of a source that is not idle: as one ends, the next begins."""
    idle_share: float = 0.2
    """Share of the sources in which nothing runs and nothing changes."""
    stopped_share: float = 0.25
    """Share of the sources with one more job, unfinished and stopped."""
    untouched_share: float = 0.15
    """Share of the tables at the start, those of the running jobs left out, that no job migrates."""
    failure_rate: float = 0.08
    """Share of the story's tasks that fail."""
    retry_failure_rate: float = 0.0
    """Share of the tasks of created jobs that fail."""
    waves: int | None = None
    """How often the running jobs' tables are followed by new ones before all jobs have ended; None: without end."""
    job_seconds: float = 1200.0
    """How long a job takes, on average, in simulated seconds."""
    async_task_seconds: float = 15.0
    """How long CreateMmsJob's asynchronous task takes, in simulated seconds."""
    async_task_failure_rate: float = 0.0
    """Share of those tasks that fail, so that no job is made."""
    job_name_filters_source: bool = False
    """Whether ListMmsJobs takes `name` for the data source's, as the vendor's page has it, and not the job's."""
    job_list_lag_seconds: float = 0.0
    """How long ListMmsJobs leaves out a created job that GetMmsAsyncTask and GetMmsJob already know."""
    job_status_lag_seconds: float = 0.0
    """How old the status and the counters of a job are in ListMmsJobs and GetMmsJob."""
    table_lag_seconds: float = 0.0
    """How old the rows of ListMmsTables and GetMmsTable are."""
    partition_lag_seconds: float = 0.0
    """How old the rows of ListMmsPartitions and GetMmsPartition are."""
    incidents: bool = True
    """Whether agents drop out, metadata scans fail and a source is restarted now and then."""
    special_sources: bool = True
    """Whether the last four of at least six sources are one restarting, one finished, one STOPPED, one START_FAILED."""
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
