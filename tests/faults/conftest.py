"""Gives marked tests an event loop with virtual time."""

from tests.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories
