"""A local MMS over real HTTP with strict request checks, a simulated migration and injected faults."""

from exporter.simulator.faults.fault_plan import Fault
from exporter.simulator.http.request_auth import Identity
from exporter.simulator.http.server import Simulator
from exporter.simulator.story import StoryWorld, story_options
from exporter.simulator.world import events
from exporter.simulator.world.event_handlers import apply_event
from exporter.simulator.world.options import WorldOptions
from exporter.simulator.world.world import ManualClock, ScaledClock, World

__all__ = [
    "Fault",
    "Identity",
    "ManualClock",
    "ScaledClock",
    "Simulator",
    "StoryWorld",
    "World",
    "WorldOptions",
    "apply_event",
    "events",
    "story_options",
]
