"""Every operation answers or rejects arbitrary parameters, without an exception."""

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import ManualClock, World, WorldOptions
from exporter.simulator.api.operations import OPERATIONS, ApiCall, ApiRoute, answer, route
from exporter.simulator.api.pages import Tweaks
from exporter.simulator.api.parameters import Refusal

WORLD = World(WorldOptions(sources=2, tables=6), clock=ManualClock())
NAMES = (
    *(
        "pageNum",
        "pageSize",
        "name",
        "type",
        "region",
        "status",
        "stopped",
        "srcDbName",
        "srcTableName",
        "sorter.status",
    ),
    *(
        "timerId",
        "jobId",
        "partition",
        "dbId",
        "dbName",
        "hasPartitions",
        "onlyName",
        "lastDdlTimeStart",
        "sorter.size",
    ),
    *("tableId", "tableName", "value", "updated", "surprise"),
)
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers(-1, 2**70).map(str),
    st.sampled_from(
        ["DONE", '["DONE"]', '["FAILED","INIT"]', "asc", "desc", "true", "0", "%", "_", "2025-01-01 00:00:00"]
    ),
)
IDS = st.one_of(st.just("2000001"), st.integers(-5, 2**65).map(str), st.text(max_size=8))
BODIES = st.one_of(st.binary(max_size=60), st.just(b'{"srcDbName":"sales"}'), st.just(b'{"partitions":[1,2]}'))


@settings(deadline=None)
@given(
    st.sampled_from(OPERATIONS),
    IDS,
    IDS,
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=3),
    BODIES,
)
def test_every_request_is_answered_or_rejected(
    operation: str, source: str, number: str, query: list[tuple[str, str]], body: bytes
) -> None:
    assert _status(ApiCall(ApiRoute(operation, source, number), query, body, 100, Tweaks())) in {
        200,
        400,
        404,
    }


def _status(call: ApiCall) -> int:
    """Return the status of an answer or a Refusal."""
    try:
        answer(WORLD, call)
    except Refusal as refusal:
        return refusal.status
    return 200


@settings(deadline=None)
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]), st.text(max_size=30))
def test_no_other_path_is_an_operation(method: str, tail: str) -> None:
    found = route(method, f"/api/v1/mms/{tail}")
    assert found is None or tail.startswith("datasources")
