"""What the C library's allocator keeps of the memory that it was given back. Knows nothing of what is in it."""

import ctypes
import sys
from contextlib import suppress
from typing import Final

_M_ARENA_MAX: Final = -8
"""Source: mallopt(3)."""


def share_one_arena() -> None:
    """Have all threads take memory from one place; to be called before there is a second one.

    glibc gives threads arenas of their own, each of which keeps the most that it ever held: a page or two, where pages
    are rendered and answers read in threads. Other C libraries are left alone.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # AttributeError where the C library is another
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
