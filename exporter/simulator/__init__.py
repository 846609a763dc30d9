"""A local MMS over real HTTP with strict request checks, a simulated migration and injected faults."""

from exporter.simulator.api.identities import Identity
from exporter.simulator.faults.fault_plan import Fault
from exporter.simulator.http.server import Simulator
from exporter.simulator.world import events
from exporter.simulator.world.event_handlers import apply_event
from exporter.simulator.world.options import DEMO_SPEED, WorldOptions
from exporter.simulator.world.simulated_clock import ManualClock, ScaledClock
from exporter.simulator.world.world import World

__all__ = [
    "DEMO_SPEED",
    "Fault",
    "Identity",
    "ManualClock",
    "ScaledClock",
    "Simulator",
    "World",
    "WorldOptions",
    "apply_event",
    "events",
]
