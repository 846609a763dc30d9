"""Whoever Alertmanager tells: takes its messages, and lets a test listen for what is new in them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from tests.harness import LIMIT_SECONDS
from tests.rules.loading import ALERTS
from tests.story.time_scale import SLOWDOWN

RECEIVERS = {"critical": "pages", "warning": "tickets", "info": "notes"}


class AlertNotification(NamedTuple):
    """One change that was told."""

    alert: str
    source: str
    """Empty where the alert is about none."""
    status: str
    """`firing` or `resolved`."""
    receiver: str


def began(alert: str, source: str = "") -> AlertNotification:
    """Return what is told when an alert begins, where its severity belongs."""
    return AlertNotification(alert, source, "firing", RECEIVERS[ALERTS[alert]["labels"]["severity"]])


def ended(alert: str, source: str = "") -> AlertNotification:
    """Return what is told when it ends."""
    return began(alert, source)._replace(status="resolved")


class AlertmanagerReceiver:
    """What was told, in its order, by account; what is about no account stands under the empty name."""

    def __init__(self) -> None:
        self.url = ""
        self._status: dict[tuple[str, str], str] = {}
        self._told: dict[str, asyncio.Queue[AlertNotification]] = defaultdict(asyncio.Queue)
        self._heard: dict[str, list[AlertNotification]] = defaultdict(list)

    async def take(self, request: web.Request) -> web.Response:
        """Take a message, which repeats what its group has told before, and keep what is new."""
        receiver, message = request.match_info["receiver"], await request.json()
        for each in message["alerts"]:
            key = receiver, each["fingerprint"]
            # Alertmanager tells the end of a silenced alert, too, where it is in one group with its cause.
            if self._status.get(key, "resolved") != each["status"]:
                self._status[key] = each["status"]
                self._keep(receiver, each["status"], each["labels"])
        return web.Response()

    def _keep(self, receiver: str, status: str, labels: dict[str, Any]) -> None:
        told = AlertNotification(labels["alertname"], labels.get("source", ""), status, receiver)
        self._told[labels.get("account", "")].put_nowait(told)

    async def hears(self, account: str, *expected: AlertNotification) -> None:
        """Wait until all of `expected`, in any order, were told of an account, and nothing else before them."""
        missing, heard = list(expected), self._heard[account]
        while missing:
            try:
                async with asyncio.timeout(LIMIT_SECONDS * SLOWDOWN):
                    told = await self._told[account].get()
            except TimeoutError:
                raise AssertionError(f"{account}: not told: {_listed(missing)}; before: {_listed(heard)}") from None
            assert told in missing, f"{account}: {told} instead of {_listed(missing)}; before: {_listed(heard)}"
            missing.remove(told)
            heard.append(told)

    def was_told(self, account: str) -> bool:
        """Tell whether anything waits to be heard of an account."""
        return not self._told[account].empty()

    def rest(self) -> dict[str, list[AlertNotification]]:
        """Return what was told and not listened for, by account."""
        unheard = {account: [queue.get_nowait() for _ in range(queue.qsize())] for account, queue in self._told.items()}
        return {account: told for account, told in unheard.items() if told}

    def alerts(self) -> set[str]:
        """Return the names of all alerts that were listened for."""
        return {told.alert for heard in self._heard.values() for told in heard}


def _listed(told: Iterable[AlertNotification]) -> str:
    return ", ".join(f"{each.alert} {each.source} {each.status}" for each in told) or "nothing"


@asynccontextmanager
async def listening() -> AsyncIterator[AlertmanagerReceiver]:
    """Provide a pager on a free port."""
    receiver = AlertmanagerReceiver()
    app = web.Application()
    app.router.add_post("/{receiver}", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()
