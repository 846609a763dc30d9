"""Memory settings of the process: garbage collector and glibc allocator."""

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final, cast


def freeze_startup_objects() -> None:
    """Exclude all current objects from garbage collection."""
    # A full collection pauses every thread. Modules, classes and functions live until exit anyway.
    gc.collect()
    gc.freeze()


_M_ARENA_MAX: Final = -8
"""Source: mallopt(3)."""


def limit_malloc_arenas() -> None:
    """Limit glibc to one arena; call before starting threads."""
    # Each arena keeps its peak memory, here one or two pages for each thread that renders or decodes.
    if (set_option := _glibc_function("mallopt")) is not None:
        set_option(_M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Return free heap memory to the operating system."""
    # glibc itself returns only memory at the end of the heap, not the holes that a rendered page leaves.
    if (trim := _glibc_function("malloc_trim")) is not None:
        trim(0)


@cache
def _glibc_function(name: str) -> Callable[..., int] | None:
    # Returns None with another C library.
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):
        return cast("Callable[..., int]", getattr(ctypes.CDLL(None), name))
    return None
