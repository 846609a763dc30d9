"""A local MMS over real HTTP, as strict as the vendor's, with a world behind it and faults on command."""

from exporter.simulator import events
from exporter.simulator.clocks import ManualClock, ScaledClock
from exporter.simulator.faults import Fault
from exporter.simulator.happenings import happen
from exporter.simulator.identities import Identity
from exporter.simulator.options import DEMO_SPEED, WorldOptions
from exporter.simulator.server import Simulator
from exporter.simulator.world import World

__all__ = [
    "DEMO_SPEED",
    "Fault",
    "Identity",
    "ManualClock",
    "ScaledClock",
    "Simulator",
    "World",
    "WorldOptions",
    "events",
    "happen",
]
