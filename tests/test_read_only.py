"""The serving process cannot write to MMS: its clients refuse to, and nothing it can load makes one that may."""

import ast
from collections.abc import Iterator
from inspect import signature

import pytest

from exporter.app.service import Service
from exporter.errors import WriteForbidden
from exporter.exposition.telemetry import Telemetry
from exporter.mms.client import Client
from exporter.mms.protocol import JobRequest
from exporter.simulator import Fault, Identity, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.api.operations import OPERATIONS, WRITING
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on
from tests.test_architecture import MODULES, imports_of, name_of

SERVING = ("collect", "exposition", "web", "demo")
SOURCE = 2000001


def passes_on_unseen(tree: ast.AST) -> bool:
    """Tell whether a module makes a client with arguments that it does not write out."""
    calls = (
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Client")
    )
    return any(word.arg is None for call in calls for word in call.keywords)


def reached_from(rooms: tuple[str, ...]) -> Iterator[str]:
    """Yield the name of every module that modules in `rooms` import, wherever in them, and those that these import."""
    modules = {name_of(module): module for module in MODULES}
    waiting = [name for name in modules if name.partition(".")[0] in rooms]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        own = (each.removeprefix("exporter.") for each in imports_of(modules[name]) if each.startswith("exporter."))
        waiting += [each for imported in own for each in (imported, imported.rpartition(".")[0]) if each in modules]


def test_a_client_does_not_write_unless_it_is_told() -> None:
    assert signature(Client).parameters["may_write"].default is False


def test_one_module_makes_clients_that_may_write() -> None:
    texts = {name_of(module): module.read_text(encoding="utf-8") for module in MODULES}
    assert {name for name, text in texts.items() if "may_write" in text} == {"mms.client", "console.retry_command"}
    assert not [name for name, text in texts.items() if passes_on_unseen(ast.parse(text))]


def test_nothing_that_serves_can_load_what_writes() -> None:
    assert not [name for name in reached_from(SERVING) if name.startswith(("retry", "console"))]


async def test_the_clients_of_the_service_refuse_to_write(simulator: Simulator) -> None:
    config = config_on(simulator.url)
    _, client = Service(Telemetry(with_process=False)).refresher(config.accounts[0], config)
    async with client:
        with pytest.raises(WriteForbidden):
            await client.create_job(SOURCE, JobRequest(src_db_name="sales"))
    assert simulator.calls.total() == 0


async def test_a_process_that_serves_everything_only_reads(clock: ManualClock) -> None:
    """An identity that may do all that can be done, failures to be named, and trouble of every kind that passes."""
    world = World(WorldOptions(sources=3, tables=9, partitions=4), clock=clock)
    watch = {"tables": [{"source_id": SOURCE, "table_ids": [1]}]}
    identity = Identity(IDENTITY.access_key_id, IDENTITY.access_key_secret)
    async with Simulator(world, identities=[identity]) as simulator:
        async with harness_on(config_on(simulator.url, watch=watch, tasks={"enabled": True}), clock) as harness:
            for kind in ("error", "reset", "throttle", "truncated", "lost_answer"):
                apply_event(world, events.Fail(source_id=SOURCE, share=0.2))
                simulator.faults.add(Fault(kind=kind, probability=0.3, times=5))
                await harness.refresh()
                clock.advance(700)
        asked = {operation for operation, _ in simulator.calls}
    assert {"ListMmsJobs", "ListMmsPartitions", "ListMmsTasks", "GetMmsTable"} <= asked <= set(OPERATIONS) - WRITING
