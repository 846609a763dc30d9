"""Lets time leap where a test is marked so."""

from tests.virtual_time import loop_factories

pytest_asyncio_loop_factories = loop_factories
