"""Create a client from the configuration of an account."""

from collections.abc import Callable

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.loading import Account
from exporter.mms.client import Client
from exporter.mms.credentials import credential_source
from exporter.mms.observer import Observer
from exporter.mms.throttle import Limits
from exporter.mms.transport import Route


def create_client(
    account: Account, observer: Observer, clock: Clock = SYSTEM_CLOCK, make: Callable[..., Client] = Client
) -> Client:
    """Return a client for an account; the caller closes it.

    `make` decides whether the client may write.
    """
    return make(
        account.url,
        credential_source(account.credentials, account.proxy),
        observer,
        limits=Limits(account.rate_limit, account.concurrency, account.timeout),
        route=Route(account.proxy, account.ca_file.text if account.ca_file else None),
        clock=clock,
    )
