"""Process-wide set-up: daemon threads, concurrent calls, standard streams."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(ThreadPoolExecutor):
    """Executor with one daemon thread per task; never waits at exit."""

    # asyncio requires a subclass of ThreadPoolExecutor as default executor.

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start the task immediately."""
        future: Future[T] = Future()
        Thread(target=_run_task, args=(future, fn, args, kwargs), name="work", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - inherited
        """Do nothing; running tasks end with the process."""


def _run_task(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - stored in the future
        future.set_exception(error)


DAEMON_THREADS = DaemonThreads()


async def gather_or_cancel(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results; the first error cancels all others.

    With asyncio.gather, they would go on after the caller closed what they use.
    """
    tasks = [asyncio.create_task(each) for each in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_STREAMS: Final = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""In the order of the file descriptors. Writing to a replaced stdout fails; stderr is discarded."""


def open_missing_streams() -> None:
    """Open /dev/null for each closed standard stream."""
    for name, mode, access in _STREAMS:
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, access)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", errors="backslashreplace"))
