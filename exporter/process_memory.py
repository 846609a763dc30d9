"""Memory settings of the process: garbage collector and the allocator of glibc.

A full garbage collection pauses every thread while it looks at each object that may be part of a cycle.
"""

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final, cast


def freeze_startup_objects() -> None:
    """Have it leave alone what is there now: modules, classes and functions, which stay to the end."""
    gc.collect()
    gc.freeze()


_M_ARENA_MAX: Final = -8
"""Source: mallopt(3)."""


def limit_malloc_arenas() -> None:
    """Have all threads take memory from one place; to be called before there is a second one.

    glibc gives threads arenas of their own, each of which keeps the most that it ever held: a page or two, where pages
    are rendered and answers read in threads. Other C libraries are left alone.
    """
    if (set_option := _function("mallopt")) is not None:
        set_option(_M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Give back what is free in the midst of what is used, too: glibc keeps the holes that a page leaves."""
    if (trim := _function("malloc_trim")) is not None:
        trim(0)


@cache
def _function(name: str) -> Callable[..., int] | None:
    """Return a function of glibc; None where the C library is another."""
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):
        return cast("Callable[..., int]", getattr(ctypes.CDLL(None), name))
    return None
