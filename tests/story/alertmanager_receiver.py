"""Webhook receiver of Alertmanager: records notifications, and lets a test wait for expected ones."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from tests.harness import LIMIT_SECONDS
from tests.rules.loading import ALERTS
from tests.story.time_scale import SLOWDOWN

RECEIVERS = {"critical": "pages", "warning": "tickets", "info": "notes"}


class AlertNotification(NamedTuple):
    """One change of an alert's status."""

    alert: str
    source: str
    """Empty if the alert has no source."""
    status: str
    """`firing` or `resolved`."""
    receiver: str


def firing(alert: str, source: str = "") -> AlertNotification:
    """Return the notification of an alert that starts to fire."""
    return AlertNotification(alert, source, "firing", RECEIVERS[ALERTS[alert]["labels"]["severity"]])


def resolved(alert: str, source: str = "") -> AlertNotification:
    """Return the notification of an alert that is resolved."""
    return firing(alert, source)._replace(status="resolved")


class AlertmanagerReceiver:
    """Notifications by account, in order; "" holds those without account."""

    def __init__(self) -> None:
        self.url = ""
        self._status: dict[tuple[str, str], str] = {}
        self._queues: dict[str, asyncio.Queue[AlertNotification]] = defaultdict(asyncio.Queue)
        self._received: dict[str, list[AlertNotification]] = defaultdict(list)

    async def take(self, request: web.Request) -> web.Response:
        """Handle a webhook request; skip repeated alerts."""
        receiver, message = request.match_info["receiver"], await request.json()
        for each in message["alerts"]:
            key = receiver, each["fingerprint"]
            # Alertmanager also sends the end of an inhibited alert, if it is in one group with its cause.
            if self._status.get(key, "resolved") != each["status"]:
                self._status[key] = each["status"]
                self._keep(receiver, each["status"], each["labels"])
        return web.Response()

    def _keep(self, receiver: str, status: str, labels: dict[str, Any]) -> None:
        notification = AlertNotification(labels["alertname"], labels.get("source", ""), status, receiver)
        self._queues[labels.get("account", "")].put_nowait(notification)

    async def expect(self, account: str, *expected: AlertNotification, may: Collection[str] = ()) -> None:
        """Wait for exactly `expected`, in any order; alerts in `may` are ignored."""
        missing, received = list(expected), self._received[account]
        while missing:
            try:
                async with asyncio.timeout(LIMIT_SECONDS * SLOWDOWN):
                    notification = await self._queues[account].get()
            except TimeoutError:
                raise AssertionError(f"{account}: missing: {_listed(missing)}; before: {_listed(received)}") from None
            if notification.alert in may:
                received.append(notification)
                continue
            assert notification in missing, (
                f"{account}: {notification} instead of {_listed(missing)}; before: {_listed(received)}"
            )
            missing.remove(notification)
            received.append(notification)

    def has_unread(self, account: str) -> bool:
        """Return whether an account has unread notifications."""
        return not self._queues[account].empty()

    def unread(self) -> dict[str, list[AlertNotification]]:
        """Return the unread notifications by account."""
        unread = {
            account: [queue.get_nowait() for _ in range(queue.qsize())] for account, queue in self._queues.items()
        }
        return {account: notification for account, notification in unread.items() if notification}

    def alerts(self) -> set[str]:
        """Return the names of all expected alerts so far."""
        return {notification.alert for received in self._received.values() for notification in received}


def _listed(notifications: Iterable[AlertNotification]) -> str:
    return ", ".join(f"{each.alert} {each.source} {each.status}" for each in notifications) or "nothing"


@asynccontextmanager
async def running_receiver() -> AsyncIterator[AlertmanagerReceiver]:
    """Provide a receiver on a free port."""
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
