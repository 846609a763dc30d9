"""The migrations that a story is about, and what can happen to them in one word."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from exporter.mms.models import DataSource
from exporter.simulator import Fault, Simulator, World, WorldOptions, apply_event
from exporter.simulator.api.operations import OPERATIONS
from exporter.simulator.world import creation, events
from tests.conftest import IDENTITY
from tests.story.time_scale import SLOWDOWN

SPEED: Final = 60.0 / SLOWDOWN
"""Simulated seconds in one of the machine's: a job takes four of these, and something is done every few."""
REJECTED: Final = {"status": 400, "code": "ServiceNotOpened"}
"""A refusal that the exporter does not try again, so that no random wait is in the story."""
_ZONE: Final = ZoneInfo("Asia/Shanghai")
_JOBS_WITHOUT_ETA: Final = 300


class Clock:
    """Time that runs at a speed, stands still, and leaps, as it is told."""

    def __init__(self) -> None:
        self._now = time.time()
        self._since = time.monotonic()
        self._speed = SPEED

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self._now + (time.monotonic() - self._since) * self._speed

    def run(self, speed: float = SPEED) -> None:
        """Go on at another speed; 0 to stand still."""
        self._now, self._since, self._speed = self(), time.monotonic(), speed

    def leap(self, seconds: float) -> None:
        """Let simulated time pass at once."""
        self._now += seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """What the overview shows of an account, counted in the world itself."""

    done: int
    total: int
    left: int
    failed_tables: int
    failed_partitions: int
    agents_offline: int

    @classmethod
    def of(cls, rows: list[DataSource]) -> "Figures":
        """Add up the rows of all sources."""
        done = sum(_number(row.tables_done_num, row.partitions_done_num) for row in rows)
        failed_tables = sum(_number(row.tables_failed_num) for row in rows)
        failed_partitions = sum(_number(row.partitions_failed_num) for row in rows)
        total = sum(_number(row.table_num, row.partition_num) for row in rows)
        part_done = sum(_number(row.tables_part_done_num) for row in rows)
        left = total - done - failed_tables - failed_partitions - part_done
        offline = sum(not row.agent_is_online for row in rows)
        return cls(done, total, left, failed_tables, failed_partitions, offline)


def _number(*counts: int | None) -> int:
    return sum(count or 0 for count in counts)


class Account:
    """One account of MMS: its sources, and what befalls them."""

    def __init__(self, name: str, options: WorldOptions) -> None:
        self.name = name
        self.clock = Clock()
        self.world = World(options, clock=self.clock)
        self.simulator = Simulator(self.world, identities=[IDENTITY])
        self.ids = {site.source.name: site.id for site in self.world.sites()}
        """The id of each source, by its name."""
        for source_id in self.ids.values():
            self._clear_etas(source_id)

    def _clear_etas(self, source_id: int) -> None:
        """Leave out the times that jobs are wished to be done by: the story says when one passes."""
        for job_id in range(1, _JOBS_WITHOUT_ETA):
            self.say(source_id, "eta", "", job_id=job_id)

    def partition_shared_with(self, other: "Account") -> tuple[int, int]:
        """Return the ids of a source and of a partition that both have: what is watched belongs to no account."""
        source_id = list(self.ids.values())[-1]
        ids = [{each.id for each in account.world.truth().partitions(source_id)} for account in (self, other)]
        return source_id, min(ids[0] & ids[1])

    def figures(self) -> Figures:
        """Return what the world holds."""
        return Figures.of(list(self.world.truth().data_sources().values()))

    def say(self, source_id: int, field: str, text: str, *, job_id: int | None = None) -> None:
        """Let a text field of a source, or of a job, have a value."""
        apply_event(self.world, events.SetText(source_id=source_id, field=field, text=text, job_id=job_id))

    def say_when(self, source_id: int, field: str, seconds_ago: float, *, job_id: int | None = None) -> None:
        """Likewise a time, counted back from the machine's."""
        moment = datetime.fromtimestamp(time.time() - seconds_ago, _ZONE)
        self.say(source_id, field, f"{moment:%Y-%m-%d %H:%M:%S}", job_id=job_id)

    def set_agent(self, source_id: int, *, online: bool) -> None:
        """Take an agent off, or bring it back."""
        apply_event(self.world, events.SetAgent(source_id=source_id, online=online))

    def stall(self, source_id: int, *, stalled: bool = True) -> None:
        """Let a source stand still, or go on."""
        apply_event(self.world, events.Stall(source_id=source_id, stalled=stalled))

    def is_doing(self, source_id: int) -> bool:
        """Tell whether a partition of a source is being migrated."""
        return any(partition.status == "DOING" for partition in self.world.truth().partitions(source_id))

    def fail_tables(self, source_id: int, count: int) -> int:
        """Let so many done tables fail as a whole; return how many units failed."""
        done = [table.id for table in self.world.truth().tables(source_id) if table.status == "DONE"]
        assert len(done) >= count
        return apply_event(self.world, events.Fail(source_id=source_id, table_ids=tuple(done[:count])))

    def fail_partitions(self, source_id: int, count: int) -> None:
        """Let so many partitions of one done table fail, and leave it others."""
        truth = self.world.truth()
        table = next(
            each for each in truth.tables(source_id) if each.status == "DONE" and (each.partitions or 0) > count
        )
        ids = [each.id for each in truth.partitions(source_id) if each.table_id == table.id]
        apply_event(self.world, events.Fail(source_id=source_id, partition_ids=tuple(ids[:count])))

    def retry(self, source_id: int) -> None:
        """Make jobs that migrate again what failed."""
        truth = self.world.truth()
        partitions = [partition.id for partition in truth.partitions(source_id) if partition.status == "FAILED"]
        self._create(source_id, {"partitions": partitions})
        tables = [table for table in truth.tables(source_id) if table.status == "FAILED" and not table.has_partitions]
        for table in tables:
            self._create(source_id, {"srcDbName": table.db_name, "tables": [table.name]})

    def migrate(self, source_id: int, count: int) -> list[int]:
        """Make a job for each of so many unpartitioned tables that no job migrates, and return the jobs' ids."""
        tables = [
            table
            for table in self.world.truth().tables(source_id)
            if table.status == "INIT" and not table.has_partitions
        ]
        assert len(tables) >= count
        return [self._create(source_id, {"srcDbName": each.db_name, "tables": [each.name]}) for each in tables[:count]]

    def _create(self, source_id: int, request: dict[str, object]) -> int:
        site = self.world.site(source_id)
        made = creation.create(site, self.world.at(site), msgspec.json.encode(request))
        self.say(source_id, "eta", "", job_id=made["asyncTaskId"])
        return int(made["asyncTaskId"])

    def stop_jobs(self, source_id: int, job_ids: list[int]) -> None:
        """Stop jobs that have just begun."""
        for job_id in job_ids:
            apply_event(self.world, events.StopJob(source_id=source_id, job_id=job_id))

    def unfinished_job(self, source_id: int) -> int:
        """Return the id of a job that runs."""
        site = self.world.site(source_id)
        return site.job_store.unfinished(self.world.at(site))[0].id

    def remove(self, source_id: int) -> None:
        """Let a source be deleted."""
        apply_event(self.world, events.RemoveSource(source_id=source_id))

    def forbid(self, operation: str) -> None:
        """Take one permission away from the account's key."""
        actions = frozenset(f"odps:{each}" for each in OPERATIONS if each != operation)
        self.simulator.identities.add(replace(IDENTITY, actions=actions))

    def forget_key(self) -> None:
        """Let MMS not know the account's access key any more."""
        self.simulator.identities.remove(IDENTITY.access_key_id)

    def know_key(self) -> None:
        """Let MMS know the key, with every permission."""
        self.simulator.identities.add(IDENTITY)

    def refuse(self, operation: str, source_id: int | None = None) -> int:
        """Let an operation be refused for a reason that is none of the account's, and return the fault's id."""
        return self.simulator.faults.add(Fault(kind="error", operation=operation, source_id=source_id, **REJECTED))  # type: ignore[arg-type]  # the two fields named above

    def throttle(self, share: float) -> int:
        """Let MMS find this share of all calls too many, and return the fault's id."""
        return self.simulator.faults.add(Fault(kind="throttle", probability=share))

    def relent(self, fault: int) -> None:
        """End a fault."""
        self.simulator.faults.remove(fault)


def accounts() -> Iterator[Account]:
    """Yield the account whose migration is told, and one with troubles of its own."""
    quiet = {"incidents": False, "special_sources": False, "stopped_share": 0.0, "failure_rate": 0.0}
    calm = WorldOptions(
        seed=3,
        sources=3,
        idle_share=0.34,
        tables=40,
        untouched_share=0.0,
        waves=8,
        job_seconds=240.0,
        running_jobs_per_source=1,
        finished_jobs_per_source=0,
        **quiet,  # type: ignore[arg-type]  # the options named above
    )
    troubled = WorldOptions(
        seed=5,
        sources=4,
        idle_share=0.0,
        tables=40,
        untouched_share=0.4,
        job_seconds=240.0,
        running_jobs_per_source=1,
        finished_jobs_per_source=0,
        retry_failure_rate=1.0,
        **quiet,  # type: ignore[arg-type]  # likewise
    )
    yield Account("prod", calm)
    yield Account("lab", troubled)
