"""Lets time leap where a test is marked so."""

from tests.leaping import loops_of

pytest_asyncio_loop_factories = loops_of
