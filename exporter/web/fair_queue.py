"""What waits, shared fairly: by who sends it first, then by the name it is sent under. Pure: knows not what waits."""

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Share(NamedTuple):
    """On whose account something waits."""

    peer: str
    name: bytes


class FairQueue(Generic[T]):
    """Peers take turns, and so do the names of a peer: who sends much waits behind himself."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, OrderedDict[bytes, list[T]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(_length, self._peers.values()))

    def add(self, share: Share, item: T) -> None:
        """Have an item wait; who had none waiting comes after all who have."""
        self._peers.setdefault(share.peer, OrderedDict()).setdefault(share.name, []).append(item)

    def remove(self, share: Share, item: T) -> None:
        """Have an item that waits wait no more."""
        names = self._peers[share.peer]
        names[share.name].remove(item)
        if not names[share.name]:
            del names[share.name]
        if not names:
            del self._peers[share.peer]

    def pop_next(self) -> T:
        """Return whose turn it is: the first item of the first name of the first peer. Both go behind the others."""
        peer, names = next(iter(self._peers.items()))
        name, items = next(iter(names.items()))
        item = items[0]
        self._peers.move_to_end(peer)
        names.move_to_end(name)
        self.remove(Share(peer, name), item)
        return item

    def pop_most_crowding(self) -> T:
        """Return the newest item of the name that has most waiting, of the peer that has most: the later of equals."""
        peer, names = max(reversed(self._peers.items()), key=lambda each: _length(each[1]))
        name, items = max(reversed(names.items()), key=lambda each: len(each[1]))
        item = items[-1]
        self.remove(Share(peer, name), item)
        return item


def _length(names: OrderedDict[bytes, list[T]]) -> int:
    return sum(map(len, names.values()))
