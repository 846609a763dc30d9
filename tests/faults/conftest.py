"""Gives marked tests an event loop with virtual time."""

from tests.leaping import loops_of

pytest_asyncio_loop_factories = loops_of
