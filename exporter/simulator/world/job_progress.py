"""Jobs of any origin and their tasks, as they are at any moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exporter.simulator.world import states
from exporter.simulator.world.plans import JobPlan, TaskPlan


class SimulatedTask(NamedTuple):
    """A task at one moment."""

    id: int
    number: int
    table: int
    plan: TaskPlan
    status: str


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """One job: plan, start, and stop if any."""

    id: int
    plan: JobPlan
    created: float
    """The moment at which the plan starts."""
    first_table: int
    """The number of the plan's first table."""
    database: int
    name: str | None = None
    """None: a default name from id and database."""
    stopped_at: float | None = None
    """The moment of the stop: running tasks are aborted, waiting ones never start."""
    eta: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Further configuration fields from the CreateMmsJob request."""

    def age(self, moment: float) -> float:
        """Return the seconds since creation, up to the stop."""
        return (moment if self.stopped_at is None else min(moment, self.stopped_at)) - self.created

    def stopped(self, moment: float) -> bool:
        """Return whether it is stopped at `moment`."""
        return self.stopped_at is not None and moment >= self.stopped_at

    def status(self, moment: float) -> str:
        """Return its status at `moment`."""
        return self.plan.status(self.age(moment))

    def tasks_done(self, moment: float) -> int:
        """Return how many of its tasks are DONE at `moment`."""
        return self.plan.tasks_done(self.age(moment))

    def tasks(self, moment: float) -> Iterator[SimulatedTask]:
        """Yield the tasks at `moment`."""
        age, stopped = self.age(moment), self.stopped(moment)
        for number, plan in enumerate(self.plan.tasks):
            broken_off = stopped and age < plan.end
            status = states.INIT if broken_off else plan.status(age)
            yield SimulatedTask(task_id(self.id, number), number, self.first_table + plan.table, plan, status)

    def tables(self) -> list[int]:
        """Return the distinct tables it migrates, in order."""
        return list(dict.fromkeys(self.first_table + task.table for task in self.plan.tasks))


_TASKS_PER_JOB = 100_000


def task_id(job: int, number: int) -> int:
    """Return the id of a task, unique in its source."""
    return job * _TASKS_PER_JOB + number + 1
