"""A local MMS over real HTTP, as strict as the vendor's, with a world behind it and faults on command."""

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
