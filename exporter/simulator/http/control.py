"""Control endpoints of the simulator under `/_simulator/`: unsigned, and reachable from loopback only."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from exporter.simulator.api.parameters import Refusal
from exporter.simulator.faults.fault_plan import Fault, Faults
from exporter.simulator.http.request_auth import Identities, Identity
from exporter.simulator.world.event_handlers import apply_event
from exporter.simulator.world.events import Event
from exporter.simulator.world.world import ManualClock, ScaledClock, World

ROOT: Final = "/_simulator"
_Body = TypeVar("_Body")


class Advance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a request that advances a manual clock."""

    advance: float
    """Simulated seconds."""


class NewIdentity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a request that adds or replaces an identity."""

    access_key_id: str
    access_key_secret: str
    security_token: str | None = None
    actions: frozenset[str] | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class SimulatorState:
    """What the endpoints read and change of one simulator."""

    world: World
    identities: Identities
    faults: Faults
    calls: Counter[tuple[str, int | None]]
    """Received calls by operation and source id."""


def routes(state: SimulatorState) -> list[web.RouteDef]:
    """Return the control routes of one simulator."""
    control = _Control(state)
    known = (
        ("GET", "faults", control.faults),
        ("POST", "faults", control.add_fault),
        ("DELETE", "faults", control.clear_faults),
        ("POST", "events", control.apply_event),
        ("GET", "calls", control.calls),
        ("DELETE", "calls", control.reset_calls),
        ("GET", "clock", control.clock),
        ("POST", "clock", control.advance),
        ("GET", "identities", control.identities),
        ("POST", "identities", control.add_identity),
        ("DELETE", "identities", control.remove_identity),
        ("GET", "state", control.state),
    )
    return [web.route(method, f"{ROOT}/{name}", _local(answer)) for method, name, answer in known]


def _local(answer: Callable[[web.Request], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if request.remote is None or not ip_address(request.remote).is_loopback:
            return _json({"error": "reachable from loopback only"}, 403)
        try:
            return _json(await answer(request))
        except msgspec.DecodeError as error:
            return _json({"error": str(error)}, 400)
        except Refusal as refusal:
            return _json({"error": refusal.message}, refusal.status)

    return handle


def _json(value: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - whatever JSON can carry
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


async def _body(request: web.Request, kind: type[_Body]) -> _Body:
    return msgspec.json.decode(await request.read(), type=kind)


class _Control:
    def __init__(self, state: SimulatorState) -> None:
        self._simulator = state
        self._world = state.world

    async def faults(self, _: web.Request) -> dict[str, Any]:
        known = self._simulator.faults.known()
        return {
            str(number): {"fault": fault, "happened": self._simulator.faults.happened(number)}
            for number, fault in known.items()
        }

    async def add_fault(self, request: web.Request) -> dict[str, int]:
        return {"id": self._simulator.faults.add(await _body(request, Fault))}

    async def clear_faults(self, request: web.Request) -> dict[str, int]:
        """Remove the fault `?id=`, or all faults."""
        number = request.query.get("id")
        if number is None:
            self._simulator.faults.clear()
        elif number.isascii() and number.isdigit():
            self._simulator.faults.remove(int(number))
        else:
            raise Refusal(400, "InvalidParameter.id", "expected the id of a fault")
        return {"left": len(self._simulator.faults.known())}

    async def apply_event(self, request: web.Request) -> dict[str, int]:
        event: Event = msgspec.json.decode(await request.read(), type=Event)
        return {"result": apply_event(self._world, event)}

    async def calls(self, _: web.Request) -> list[dict[str, Any]]:
        return [
            {"operation": operation, "source_id": source_id, "calls": count}
            for (operation, source_id), count in self._simulator.calls.items()
        ]

    async def reset_calls(self, _: web.Request) -> dict[str, int]:
        self._simulator.calls.clear()
        return {"left": 0}

    async def clock(self, _: web.Request) -> dict[str, float | None]:
        clock = self._world.clock
        return {"now": clock(), "speed": clock.speed if isinstance(clock, ScaledClock) else None}

    async def advance(self, request: web.Request) -> dict[str, float | None]:
        """Advance a manual clock."""
        move = await _body(request, Advance)
        if not isinstance(self._world.clock, ManualClock):
            raise Refusal(400, "InvalidStatus", "the clock is not a manual one")
        self._world.clock.advance(move.advance)
        return await self.clock(request)

    async def identities(self, _: web.Request) -> list[str]:
        return [identity.access_key_id for identity in self._simulator.identities]

    async def add_identity(self, request: web.Request) -> list[str]:
        new = await _body(request, NewIdentity)
        self._simulator.identities.add(Identity(**msgspec.structs.asdict(new)))
        return await self.identities(request)

    async def remove_identity(self, request: web.Request) -> list[str]:
        """Remove the identity `?id=`."""
        self._simulator.identities.remove(request.query.get("id", ""))
        return await self.identities(request)

    async def state(self, _: web.Request) -> dict[str, Any]:
        sources = [
            {"id": site.id, "name": site.source.name, "type": site.source.type, "role": site.source.role.name}
            for site in self._world.sites()
        ]
        options = asdict(self._world.options)
        return {"options": options, "start": self._world.start, "now": self._world.clock(), "sources": sources}
