"""What was written for a client and waits in this process for it to read: how much does, and how much may.

Knows the layers of a connection, and nothing of what they carry.
"""

import asyncio
from typing import Any, Final

WAITING_BYTES: Final = 64 * 1024
"""So much waits unsent before more is made: asyncio's own bound without TLS; with it, it would be eight times that."""


def bound_unsent(transport: asyncio.Transport) -> None:
    """Have writers wait from the bound on."""
    transport.set_write_buffer_limits(high=WAITING_BYTES)


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Return how much waits, in all layers: TLS's transport does not count what it passed to the one below it."""
    protocol: Any = getattr(transport, "_ssl_protocol", None)  # asyncio has no public way down
    below: asyncio.Transport | None = getattr(protocol, "_transport", None)
    return transport.get_write_buffer_size() + (below.get_write_buffer_size() if below is not None else 0)
