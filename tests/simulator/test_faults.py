"""Each fault, observed over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import aiohttp
import pytest

from exporter.mms.models import statuses
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions
from exporter.simulator.faults.fault_plan import KINDS, Faults, Kind
from exporter.simulator.world import events

from .caller import Caller, Reply

SOURCE = 2000001
JOBS = f"/{SOURCE}/jobs"
LIST = "ListMmsDataSources"
BODY = '{"requestId": "C1F7",\n "data": {"total": 9, "范围": []}}\n'.encode()


async def _with(caller: Caller, simulator: Simulator, fault: Fault) -> Reply:
    simulator.faults.add(fault)
    return await caller.get(LIST)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502, 503, 504])
async def test_each_http_error(caller: Caller, simulator: Simulator, status: int) -> None:
    fault = Fault(kind="error", status=status, code="Some.Code", message="some message")
    reply = await _with(caller, simulator, fault)
    assert (reply.code, reply.json["Message"]) == ((status, "Some.Code"), "some message")


@pytest.mark.parametrize("status", [400, 429, 503])
@pytest.mark.parametrize("wait", [None, 1500])
async def test_throttling_with_and_without_a_wait(
    caller: Caller, simulator: Simulator, status: int, wait: int | None
) -> None:
    reply = await _with(caller, simulator, Fault(kind="throttle", status=status, retry_after_ms=wait))
    assert reply.code == (status, "Throttling.User")
    assert reply.headers.get("x-acs-retry-after") == (None if wait is None else "1500")


@pytest.mark.parametrize("header", ["x-ratelimit-user-api", "x-ratelimit-user"])
async def test_an_older_gateway_sends_the_wait_in_another_header(
    caller: Caller, simulator: Simulator, header: str
) -> None:
    reply = await _with(caller, simulator, Fault(kind="throttle", retry_after_ms=1500, wait_header=header))
    assert "TimeLeft:1500" in reply.headers[header].split(",")
    assert "x-acs-retry-after" not in reply.headers


async def test_an_operation_can_be_missing(caller: Caller, simulator: Simulator) -> None:
    simulator.missing_operations.add("ListMmsTables")
    assert (await caller.get("ListMmsTables", "/2000001/tables")).code == (404, "InvalidAction.NotFound")
    assert (await caller.get("ListMmsTables", "/1/tables")).code == (404, "InvalidAction.NotFound")
    assert (await caller.get("ListMmsJobs", "/2000001/jobs")).status == 200


async def test_a_missing_object_can_have_another_code(caller: Caller, simulator: Simulator) -> None:
    simulator.not_found_code = "OBJECT_NOT_EXIST"
    assert (await caller.get("GetMmsTable", "/2000001/tables/424242")).code == (404, "OBJECT_NOT_EXIST")
    assert (await caller.get("GetMmsTable", "/1/tables/1")).code == (404, "OBJECT_NOT_EXIST")
    assert (await caller.get("Unknown", "/2000001/tables/1")).code == (404, "InvalidAction.NotFound")


ANSWERS: dict[str, tuple[Fault, Callable[[Reply], Any], Any]] = {
    "an error in lower case": (Fault(kind="error", lower_case=True), lambda it: it.json["code"], "InternalError"),
    "a page": (
        Fault(kind="html", status=502),
        lambda it: (it.status, it.raw[:6], it.headers["Content-Type"][:9]),
        (502, b"<html>", "text/html"),
    ),
    "an empty body": (Fault(kind="empty"), lambda it: (it.status, it.raw), (200, b"")),
    "a code in 200": (Fault(kind="code_in_200", code="Forbidden"), lambda it: it.code, (200, "Forbidden")),
    "nulls": (Fault(kind="nulls"), lambda it: {value for row in it.rows for value in row.values()}, {None}),
    "chosen nulls": (
        Fault(kind="nulls", fields=("name",), rows=2),
        lambda it: [row["name"] is None and row["status"] is not None for row in it.rows],
        [True] * 2 + [False] * 5,
    ),
    "missing fields": (Fault(kind="missing", fields=("id",)), lambda it: any("id" in row for row in it.rows), False),
    "an unknown status": (
        Fault(kind="unknown_status"),
        lambda it: {row["status"] for row in it.rows} & set(statuses.DataSourceStatus),
        set(),
    ),
    "a wrong total": (Fault(kind="total", total=100), lambda it: (it.data["total"], len(it.rows)), (100, 7)),
    "a fixed answer": (Fault(kind="answer", body=BODY), lambda it: it.raw, BODY),
    "a redirect": (
        Fault(kind="redirect", url="http://127.0.0.1:9/elsewhere", status=307),
        lambda it: (it.status, it.headers["Location"]),
        (307, "http://127.0.0.1:9/elsewhere"),
    ),
    "lone surrogates": (Fault(kind="lone_surrogate"), lambda it: it.rows[0]["name"][0], "\ud800"),
    "deep nesting": (Fault(kind="deep_nesting", size=100_000), lambda it: it.raw.count(b"["), 100_000),
}
"""Faults that change one answer, with what is looked at in it."""


@pytest.mark.parametrize(("fault", "seen", "expected"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_has_its_fault(
    caller: Caller, simulator: Simulator, fault: Fault, seen: Callable[[Reply], object], expected: object
) -> None:
    assert seen(await _with(caller, simulator, fault)) == expected


async def test_a_hang_lasts_until_the_client_disconnects(caller: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="hang"))
    call = asyncio.create_task(caller.get(LIST))
    await _arrived(simulator, 1)
    done, _ = await asyncio.wait({call}, timeout=0.05)
    assert not done
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_reset_before_the_answer(caller: Caller, simulator: Simulator, world: World) -> None:
    """With a POST, because aiohttp retries an interrupted GET by itself."""
    simulator.faults.add(Fault(kind="reset"))
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await caller.post("CreateMmsJob", JOBS, {"srcDbName": "sales"})
    assert not world.site(SOURCE).job_store.created


async def test_a_request_resent_by_the_client_library_is_rejected(caller: Caller, simulator: Simulator) -> None:
    """The first request used its nonce before the reset."""
    reply = await _with(caller, simulator, Fault(kind="reset", times=1))
    assert (reply.code, simulator.calls[LIST, None]) == ((400, "SignatureNonceUsed"), 2)


async def test_truncated_json_of_the_declared_length(caller: Caller, simulator: Simulator) -> None:
    reply = await _with(caller, simulator, Fault(kind="truncated"))
    assert int(reply.headers["Content-Length"]) == len(reply.raw)
    with pytest.raises(json.JSONDecodeError):
        _ = reply.json


async def test_wrong_types(caller: Caller, simulator: Simulator) -> None:
    right = (await caller.get(LIST)).rows
    wrong = (await _with(caller, simulator, Fault(kind="wrong_types"))).rows
    assert all(type(wrong[0][name]) is not type(right[0][name]) for name in right[0])


async def test_a_single_object_is_corrupted_too(caller: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="unknown_status", value="SLEEPING"))
    assert (await caller.get("GetMmsTable", f"/{SOURCE}/tables/1")).data["status"] == "SLEEPING"


async def test_an_endless_answer(caller: Caller, simulator: Simulator) -> None:
    """It continues until the client disconnects; here after 4 MiB."""
    simulator.faults.add(Fault(kind="endless"))
    read = await _read_at_least(caller, 1 << 22)
    assert read.headers["Transfer-Encoding"] == "chunked"


async def test_a_huge_answer_with_its_length(caller: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="huge", size=1 << 30))
    read = await _read_at_least(caller, 1 << 20)
    assert read.headers["Content-Length"] == str(1 << 30)


async def _read_at_least(caller: Caller, size: int) -> aiohttp.ClientResponse:
    """Read the beginning of a list's answer, then disconnect."""
    whole = caller.session.request
    kept: list[aiohttp.ClientResponse] = []

    class Session:
        def request(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as they are
            return _Head(whole(*args, **kwargs), size, kept)

    await Caller(Session(), caller.url).get(LIST)  # type: ignore[arg-type] # it does what Caller needs
    return kept[0]


class _Head:
    """An answer of which only the beginning is read."""

    def __init__(self, context: Any, size: int, kept: list[aiohttp.ClientResponse]) -> None:  # noqa: ANN401 - aiohttp's own
        self._context, self._size, self._kept = context, size, kept

    async def __aenter__(self) -> Self:
        self._response: aiohttp.ClientResponse = await self._context.__aenter__()
        self._kept.append(self._response)
        self.status, self.headers = self._response.status, self._response.headers
        return self

    async def read(self) -> bytes:
        return await self._response.content.readexactly(self._size)

    async def __aexit__(self, *_: object) -> None:
        self._response.close()


@pytest.mark.parametrize(("shift", "seen"), [(-1, "twice"), (1, "missed")])
async def test_rows_move_between_pages(caller: Caller, simulator: Simulator, shift: int, seen: str) -> None:
    true = [row["id"] for row in (await caller.get(LIST, pageNum=1, pageSize=6)).rows]
    simulator.faults.add(Fault(kind="shift", shift=shift))
    pages = [(await caller.get(LIST, pageNum=number, pageSize=3)).rows for number in (1, 2)]
    ids = [row["id"] for page in pages for row in page]
    assert len(ids) == 6
    assert (len(set(ids)), set(true) - set(ids)) == ((5, {true[5]}) if seen == "twice" else (6, {true[3]}))


async def test_an_event_is_applied_after_an_answer(caller: Caller, simulator: Simulator, world: World) -> None:
    """The rows of page 2 move up by the one removed from page 1, and `total` decreases by 1."""
    true = [source.id for source in world.sites()]
    gone = events.RemoveSource(source_id=true[0])
    simulator.faults.add(Fault(kind="meanwhile", operation="ListMmsDataSources", event=gone, times=1))
    first, second = [(await caller.get("ListMmsDataSources", pageNum=number, pageSize=1)).data for number in (1, 2)]
    assert first["total"] - second["total"] == 1
    assert [first["objectList"][0]["id"], second["objectList"][0]["id"]] == [true[0], true[2]]


async def test_a_page_cap_that_changes(caller: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="page_cap", cap=2, times=1))
    sizes = [len((await caller.get(LIST, pageNum=1, pageSize=5)).rows) for _ in range(2)]
    assert sizes == [2, 5]


@pytest.mark.parametrize(("kind", "third_page"), [("lost_row", [6, 8]), ("repeated_row", [6, 0, 8])])
async def test_a_page_omits_or_repeats_a_row(
    caller: Caller, simulator: Simulator, kind: Kind, third_page: list[int]
) -> None:
    whole = await caller.everything("ListMmsJobs", JOBS)
    places = {row["id"]: place for place, row in enumerate(whole)}
    simulator.faults.add(Fault(kind=kind, operation="ListMmsJobs", row=1, query={"pageNum": "3"}))
    pages = [await caller.get("ListMmsJobs", JOBS, pageNum=number, pageSize=3) for number in (1, 2, 3)]
    assert {page.data["total"] for page in pages} == {len(whole)}
    assert [[places[row["id"]] for row in page.rows] for page in pages] == [[0, 1, 2], [3, 4, 5], third_page]


async def test_a_row_index_beyond_the_page_means_its_last_row(caller: Caller, simulator: Simulator) -> None:
    whole = (await caller.get(LIST)).rows
    assert (await _with(caller, simulator, Fault(kind="lost_row", row=50))).rows == whole[:-1]


async def test_a_fault_applies_to_its_parameters_only(caller: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", query={"status": "FAILED", "pageNum": "2"}))
    asked = ({"status": "FAILED"}, {"pageNum": 2}, {"status": "FAILED", "pageNum": 2})
    assert [(await caller.get("ListMmsJobs", JOBS, **query)).status for query in asked] == [200, 200, 500]


async def test_invalid_utf8(caller: Caller, simulator: Simulator) -> None:
    reply = await _with(caller, simulator, Fault(kind="invalid_utf8"))
    with pytest.raises(UnicodeDecodeError):
        reply.raw.decode()


async def test_a_fault_applies_to_its_operation_and_source_only(caller: Caller, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", source_id=SOURCE))
    assert (await caller.get("ListMmsJobs", JOBS)).status == 500
    assert (await caller.get("ListMmsJobs", "/2000002/jobs")).status == 200
    assert (await caller.get("ListMmsTables", f"/{SOURCE}/tables")).status == 200


async def test_a_fault_applies_a_number_of_times_after_skipped_calls(caller: Caller, simulator: Simulator) -> None:
    number = simulator.faults.add(Fault(kind="error", skip=1, times=2))
    assert [(await caller.get(LIST)).status for _ in range(5)] == [200, 500, 500, 200, 200]
    assert simulator.faults.happened(number) == 2


def test_a_fault_starts_after_its_delay() -> None:
    clock = ManualClock()
    faults = Faults(1, clock)
    faults.add(Fault(kind="error", delay_seconds=10))
    assert faults.match(LIST, None) is None
    clock.advance(10)
    assert faults.match(LIST, None) is not None


def test_the_seed_determines_faults_with_a_probability() -> None:
    def drawn(seed: int) -> list[bool]:
        faults = Faults(seed, ManualClock())
        faults.add(Fault(kind="error", probability=0.5))
        return [faults.match(LIST, None) is not None for _ in range(100)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 30 < sum(drawn(1)) < 70


async def test_the_first_answer_after_a_fault_is_right(caller: Caller, simulator: Simulator) -> None:
    right = (await caller.get(LIST)).data
    for kind in KINDS:
        simulator.faults.add(Fault(kind=kind, times=0))  # type: ignore[arg-type] # KINDS are all of them
    assert (await caller.get(LIST)).data == right
    simulator.faults.clear()
    assert (await caller.get(LIST)).data == right


async def _arrived(simulator: Simulator, calls: int) -> None:
    """Wait until the simulator has received a number of requests."""
    while simulator.calls.total() < calls:  # noqa: ASYNC110 - a counter is asked, and nothing signals it
        await asyncio.sleep(0)


@pytest.fixture
async def busy() -> AsyncIterator[Simulator]:
    simulator = Simulator(World(WorldOptions(sources=3), clock=ManualClock()))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.mark.parametrize("kind", ["hang", "drip", "endless", "latency"])
async def test_stopping_cancels_hanging_requests(busy: Simulator, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Early, without leftover tasks and log lines."""
    busy.faults.add(Fault(kind=kind, bytes_per_second=1, seconds=3600))  # type: ignore[arg-type] # four of the kinds
    async with aiohttp.ClientSession() as session:
        calls = [asyncio.create_task(Caller(session, busy.url).get(LIST)) for _ in range(5)]
        await _arrived(busy, len(calls))
        async with asyncio.timeout(30):
            await busy.stop()
        results = await asyncio.gather(*calls, return_exceptions=True)
        # Delayed answers are sent at once.
        assert {isinstance(result, aiohttp.ClientError) for result in results} == {kind != "latency"}
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in left if not task.done()]
    assert not caplog.records


async def test_several_simulators_run_in_one_process() -> None:
    clock = ManualClock()
    first, second = (Simulator(World(WorldOptions(sources=count), clock=clock)) for count in (1, 2))
    async with first, second, aiohttp.ClientSession() as session:
        first.faults.add(Fault(kind="error"))
        assert (await Caller(session, first.url).get(LIST)).status == 500
        assert (await Caller(session, second.url).get(LIST)).data["total"] == 2
        assert (first.calls.total(), second.calls.total()) == (1, 1)
