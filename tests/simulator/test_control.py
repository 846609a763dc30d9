"""The control endpoints offer the Python API over HTTP, and explain invalid requests."""

import asyncio
import re
import sys

import aiohttp
import pytest

from exporter.simulator import ManualClock, ScaledClock, Simulator, World, WorldOptions
from tests.processes import ENVIRONMENT
from tests.programs import ROOT

from .caller import CREDENTIAL, Caller

SOURCE = 2000001


async def test_a_fault_is_added_listed_and_removed(caller: Caller) -> None:
    fault = {"kind": "error", "operation": "ListMmsJobs", "status": 503, "code": "ServiceUnavailable"}
    added = (await caller.control("POST", "faults", fault)).json
    assert (await caller.get("ListMmsJobs", f"/{SOURCE}/jobs")).code == (503, "ServiceUnavailable")
    listed = (await caller.control("GET", "faults")).json
    assert listed == {str(added["id"]): {"fault": fault, "happened": 1}}
    assert (await caller.control("DELETE", f"faults?id={added['id']}")).json == {"left": 0}
    assert (await caller.get("ListMmsJobs", f"/{SOURCE}/jobs")).status == 200


async def test_all_faults_are_removed_at_once(caller: Caller, simulator: Simulator) -> None:
    for _ in range(2):
        await caller.control("POST", "faults", {"kind": "empty"})
    await caller.control("DELETE", "faults")
    assert not simulator.faults.known()


async def test_an_event_is_applied(caller: Caller, world: World) -> None:
    reply = await caller.control("POST", "events", {"type": "add_source", "name": "fresh"})
    assert world.truth().data_source(reply.json["result"]).name == "fresh"


async def test_calls_are_counted_and_reset(caller: Caller) -> None:
    await caller.get("ListMmsJobs", f"/{SOURCE}/jobs")
    expected = [{"operation": "ListMmsJobs", "source_id": SOURCE, "calls": 1}]
    assert (await caller.control("GET", "calls")).json == expected
    await caller.control("DELETE", "calls")
    assert (await caller.control("GET", "calls")).json == []


async def test_a_manual_clock_advances(caller: Caller, clock: ManualClock) -> None:
    before = clock()
    assert (await caller.control("POST", "clock", {"advance": 60})).json == {"now": before + 60, "speed": None}
    assert (await caller.control("GET", "clock")).json["now"] == before + 60


async def test_a_scaled_clock_cannot_be_advanced() -> None:
    world = World(WorldOptions(sources=1), clock=ScaledClock(0.0, 60.0))
    async with Simulator(world) as simulator, aiohttp.ClientSession() as session:
        caller = Caller(session, simulator.url)
        assert (await caller.control("POST", "clock", {"advance": 60})).status == 400
        assert (await caller.control("GET", "clock")).json["speed"] == 60.0


async def test_identities_change(caller: Caller) -> None:
    new = {"access_key_id": CREDENTIAL.access_key_id, "access_key_secret": "rotated"}
    assert (await caller.control("POST", "identities", new)).json == [CREDENTIAL.access_key_id]
    assert (await caller.get("ListMmsDataSources")).code == (400, "SignatureDoesNotMatch")
    await caller.control("DELETE", f"identities?id={CREDENTIAL.access_key_id}")
    assert (await caller.get("ListMmsDataSources")).code == (404, "InvalidAccessKeyId.NotFound")


async def test_the_state_names_the_sources_and_no_secret(caller: Caller) -> None:
    reply = await caller.control("GET", "state")
    assert [source["id"] for source in reply.json["sources"]] == list(range(SOURCE, SOURCE + 7))
    assert reply.json["options"]["sources"] == 7
    assert b"canary" not in reply.raw


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("POST", "faults", {"kind": "nope"}),
        ("POST", "faults", {"kind": "error", "surprise": 1}),
        ("POST", "faults", {"kind": "error", "times": "often"}),
        ("POST", "faults", None),
        ("DELETE", "faults?id=x", None),
        ("POST", "events", {"type": "nope"}),
        ("POST", "events", {"type": "stall"}),
        ("POST", "events", {"type": "set_text", "source_id": SOURCE, "field": "tableNum", "text": "1"}),
        ("POST", "clock", {"advance": "far"}),
        ("POST", "identities", {"access_key_id": "x"}),
    ],
)
async def test_an_invalid_request_is_rejected_with_a_reason(
    caller: Caller, method: str, name: str, body: object
) -> None:
    reply = await caller.control(method, name, body)
    assert reply.status == 400
    assert reply.json["error"]


async def test_an_event_for_a_missing_object_is_not_found(caller: Caller) -> None:
    assert (await caller.control("POST", "events", {"type": "stall", "source_id": 1})).status == 404


async def test_control_requests_are_unsigned_and_not_counted(caller: Caller, simulator: Simulator) -> None:
    assert (await caller.control("GET", "state")).status == 200
    assert not simulator.calls


@pytest.mark.parametrize("stopped", ["listed", "hidden"])
async def test_the_command_plays_both_readings_of_lists_by_status(stopped: str) -> None:
    program = (sys.executable, "-m", "exporter", "simulate", f"--simulator.stopped={stopped}")
    process = await asyncio.create_subprocess_exec(
        *program, "--simulator.listen-address=127.0.0.1:0", stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            text = (await process.stdout.readuntil(b"max_per_source")).decode()
        async with aiohttp.ClientSession() as session:
            url = re.findall(r"http://[\d.:]+\d", text)[0]
            state = (await Caller(session, url).control("GET", "state")).json
        assert state["options"]["hides_stopped"] is (stopped == "hidden")
    finally:
        process.kill()
        await process.communicate()
