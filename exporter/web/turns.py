"""Turns at work that costs much: so many at once, so many that wait, shared fairly; the others are turned away.

Knows nothing of the work.
"""

import asyncio
from dataclasses import dataclass, field

from exporter.web.fair_queue import FairQueue, Share


@dataclass(eq=False, frozen=True, slots=True)
class Ticket:
    """For one turn. `comes` tells whether it comes, False where there is no room; it is cancelled when given up."""

    share: Share
    comes: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Turns:
    """Hands out turns; each that came is to be ended."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = at_once
        self._most_waiting = waiting
        self._queue: FairQueue[Ticket] = FairQueue()

    def ask(self, share: Share) -> Ticket:
        """Return a ticket. Where too many wait, who crowds most loses one that waits, which may be this very one."""
        ticket = Ticket(share)
        if self._free:
            self._free -= 1
            ticket.comes.set_result(True)
            return ticket
        self._queue.add(share, ticket)
        if len(self._queue) > self._most_waiting:
            self._queue.pop_most_crowding().comes.set_result(False)
        return ticket

    def give_up(self, ticket: Ticket) -> None:
        """Wait no more; nothing where the turn came, or cannot come."""
        if not ticket.comes.done():
            self._queue.remove(ticket.share, ticket)
            ticket.comes.cancel()

    def end(self) -> None:
        """End a turn: it is the next one's."""
        while len(self._queue):
            comes = self._queue.pop_next().comes
            if not comes.done():  # it is where the loop ends, which cancels whatever waits
                comes.set_result(True)
                return
        self._free += 1
