"""Process-wide set-up: daemon threads and standard streams."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(ThreadPoolExecutor):
    """An executor that gives each work a daemon thread of its own, and waits for none at the end.

    It is a ThreadPoolExecutor by name only, since asyncio takes nothing else for its default.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start the work at once."""
        future: Future[T] = Future()
        Thread(target=_settle, args=(future, fn, args, kwargs), name="work", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - inherited
        """Leave what still runs to the end of the process."""


def _settle(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - handed to who waits
        future.set_exception(error)


DAEMON_THREADS = DaemonThreads()


_STREAMS: Final = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""In the order of their numbers. Output cannot be written, as is then said; complaints go nowhere."""


def open_missing_streams() -> None:
    """Open the null device in the place of each stream that is closed."""
    for name, mode, access in _STREAMS:
        if getattr(sys, name) is None:
            number = os.open(os.devnull, access)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace"))
