"""Random problems: MMS faults, sources and jobs that come and go, key rotation, reloads."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from msgspec.structs import replace

from exporter.exposition.telemetry import OPERATIONS
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.simulator import Fault, ManualClock, Simulator, apply_event
from exporter.simulator.api.parameters import Refusal
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.faults.expectations import FAULT_CASES, GARBLED

FIRST: Final = 2_000_001
"""The watched source, which is never removed."""
FEWEST, MOST = 3, 8
"""Limits of the number of sources."""
SPEED: Final = 60.0
"""Simulated seconds per real second."""
REFUSALS: Final = (
    Fault(kind="error", status=403, code="NoPermission"),
    Fault(kind="error", status=404, code="DataSourceNotFound"),
    Fault(kind="throttle", retry_after_ms=300),
)


@dataclass
class Troubles:
    """All problems, drawn from one random generator."""

    simulator: Simulator
    clock: ManualClock
    rng: Random
    reconfigure: Callable[[str], None]
    """Writes a configuration by the name of its kind, and reloads it."""
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Cause problems until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            for make, seconds in ((self._fault, 1.0), (self._churn, 0.7), (self._rotate, 15.0), (self._reload, 6.0)):
                group.create_task(self._repeat(make, seconds))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.clock.advance(0.1 * SPEED)

    async def _repeat(self, make: Callable[[], str], seconds: float) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0, 2 * seconds))
            self.counts[make()] += 1

    def _fault(self) -> str:
        """Activate a fault for up to 3 s."""
        kinds = [*(case.fault for case in FAULT_CASES.values()), *REFUSALS]
        kind = self.rng.choice(kinds)
        # The reason in a garbled log would be remembered.
        spared = {"ListMmsTaskLogs", None} if kind.kind in GARBLED else set()
        fault = replace(
            kind,
            operation=self.rng.choice([each for each in (*OPERATIONS, None) if each not in spared]),
            source_id=self.rng.choice([*self.simulator.world.source_ids(), None, None, None]),
            probability=self.rng.choice((0.1, 0.5, 1.0)),
        )
        number = self.simulator.faults.add(fault)
        asyncio.get_running_loop().call_later(self.rng.uniform(0.2, 3), self.simulator.faults.remove, number)
        return fault.kind

    def _churn(self) -> str:
        """Apply a random event; Refusal means that it cannot apply."""
        sources = self.simulator.world.source_ids()
        source_id, number = self.rng.choice(sources), self.rng.randrange(1000)
        choices: list[events.Event] = [
            events.RenameSource(source_id=source_id, name=f"renamed-{number}"),
            events.SetType(source_id=source_id, source_type=self.rng.choice(("HIVE", "Databricks"))),
            events.SetAgent(source_id=source_id, online=self.rng.random() < 0.5),
            events.Stall(source_id=source_id, stalled=self.rng.random() < 0.5),
            events.Fail(source_id=source_id, share=0.05),
            events.ScanMetadata(source_id=source_id, seconds=self.rng.choice((1.0, 600.0)), share=0.1),
        ]
        jobs = [job.id for job in self.simulator.world.truth().jobs(source_id) if job.status in UNFINISHED_JOB_STATUSES]
        choices += [events.StopJob(source_id=source_id, job_id=job_id) for job_id in jobs[:1]]
        choices += [events.AddSource(moving=self.rng.random() < 0.8)] * 2 if len(sources) < MOST else []
        choices += (
            [events.RemoveSource(source_id=source_id)] * 2 if len(sources) > FEWEST and source_id != FIRST else []
        )
        event = self.rng.choice(choices)
        try:
            apply_event(self.simulator.world, event)
        except Refusal:
            return "refused"
        return type(event).__name__

    def _rotate(self) -> str:
        """Remove the access key for a while."""
        self.simulator.identities.remove(IDENTITY.access_key_id)
        asyncio.get_running_loop().call_later(self.rng.uniform(0.5, 2), self.simulator.identities.add, IDENTITY)
        return "rotation"

    def _reload(self) -> str:
        kind = self.rng.choice(("plain", "two accounts", "other pace", "broken"))
        self.reconfigure(kind)
        return f"reload: {kind}"
