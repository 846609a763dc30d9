"""What is fuzzed: everything that turns bytes from outside into something, and what must hold of it. Pure."""

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from prometheus_client.parser import text_string_to_metric_families

from exporter.collect.snapshot import (
    AccountSnapshot,
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    Snapshot,
    SourceName,
    SourceSnapshot,
    SourceStats,
)
from exporter.config.loading import load
from exporter.config.yaml_files import read_yaml
from exporter.errors import ConfigError, MmsError, Problem
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.exposition.negotiation import CONTENT_TYPES, accepts_gzip, format_for
from exporter.exposition.rendering import Renderer
from exporter.mms import protocol
from exporter.mms.models.records import Database, DataSource
from exporter.mms.models.statuses import DataSourceStatus, SourceType
from exporter.mms.models.times import http_date_seconds, unix_seconds
from exporter.mms.protocol import (
    JobFilter,
    JobRequest,
    PartitionFilter,
    TableFilter,
    TaskFilter,
    decode,
)
from exporter.web.security.basic_auth import parse_basic_auth
from exporter.web.security.web_config import web_config_from
from tests.exposition_parser import read
from tests.fuzz.visit import answer_to

ZONE: Final = ZoneInfo("Asia/Shanghai")
FAMILIES: Final = {family.name for part in METRIC_GROUPS for family in part.families}
CALLS: Final[tuple[protocol.Call[Any], ...]] = (
    protocol.list_mms_data_sources(1),
    protocol.list_mms_jobs(1, JobFilter(), 1),
    protocol.list_mms_dbs(1, 1),
    protocol.list_mms_tables(1, TableFilter(), 1),
    protocol.list_mms_partitions(1, PartitionFilter(), 1),
    protocol.list_mms_tasks(1, TaskFilter(), 1),
    protocol.get_mms_table(1, 1),
    protocol.get_mms_partition(1, 1),
    protocol.create_mms_job(1, JobRequest(src_db_name="sales")),
    protocol.get_mms_async_task(1, 1),
    protocol.get_mms_job(1, 1),
    protocol.get_mms_fetch_metadata_job(1, 1),
)
HEADERS: Final = ("date", "retry-after", "x-acs-retry-after", "x-acs-request-id", "content-type")
PAGES: Final = (b"/", b"/metrics", b"/api/v1/status", b"/-/healthy", b"/-/ready", b"/nothing")
FIELDS: Final = (
    *(b"If-None-Match", b"Accept", b"Accept-Encoding", b"Authorization"),
    *(b"Cookie", b"If-Modified-Since", b"Range"),
)
ANSWER: Final = re.compile(rb"HTTP/1\.[01] (2|304|4)")
"""The beginning of one: what was asked for, or that it was wrong to ask."""
STATUSES: Final = (200, 200, 200, 204, 302, 400, 403, 404, 429, 500)


def answer(data: bytes) -> None:
    """Check that any answer is data or an MmsError, whatever operation, status and wait it is to."""
    if not data:
        return
    call, status = CALLS[data[0] % len(CALLS)], STATUSES[data[0] // len(CALLS) % len(STATUSES)]
    wait, said = data[1:5].decode("latin-1"), ""
    try:
        decode(call, status, {"x-acs-retry-after": wait, "retry-after": wait}, data[1:])
    except MmsError as error:
        said = str(error)
    assert said.isprintable()


def headers(data: bytes) -> None:
    """Check that any headers, one a line, tell a moment, a wait and a request id that can be used, or none."""
    given = dict(zip(HEADERS, data.decode("utf-8", "surrogateescape").split("\n"), strict=False))
    moment = http_date_seconds(given.get("date"))
    assert moment is None or math.isfinite(moment)
    refusal = MmsError("")
    try:
        decode(CALLS[0], STATUSES[len(data) % len(STATUSES)], given, b"{}")
    except MmsError as error:
        refusal = error
    assert str(refusal).isprintable()
    assert re.fullmatch(r"[A-Za-z0-9._-]{0,64}", refusal.request_id)
    assert refusal.wait_seconds is None or 0 <= refusal.wait_seconds < math.inf


def exposition(data: bytes) -> None:
    """Check that data sources with any text in them give a page of known families, which each parser can read."""
    try:
        rows = decode(CALLS[0], 200, {}, data).value.rows
    except MmsError:
        texts = data.decode("utf-8", "replace").split("|") * 8
        kind, status = SourceType(f"x{texts[1]}"), DataSourceStatus(f"x{texts[3]}")
        rows = (DataSource(id=7, name=texts[0], type=kind, dst_project=texts[2], status=status),)
    page = Renderer().render(Snapshot((AccountSnapshot("a", up=True, sources=tuple(map(_source, rows))),))).plain
    families = {family.name for family in text_string_to_metric_families(page.decode())}
    assert families <= FAMILIES
    assert set(read(page).samples) <= FAMILIES
    heads = [line for line in page.split(b"\n") if line.startswith(b"#")]
    assert len(heads) == 2 * len(families)


def _source(row: DataSource) -> SourceSnapshot:
    name = SourceName("a", row.id, row.name or "")
    times = unix_seconds(row.create_time, ZONE), unix_seconds(row.last_update_time, ZONE)
    databases = tuple(Database(id=number, name=text) for number, text in enumerate((row.name, row.region, row.name)))
    failed = FailedUnits((FailedUnit(row.name, row.type, row.region, row.dst_project, None, row.status),), 1)
    return SourceSnapshot(
        name,
        SourceStats(name, row, *times),
        None,
        True,
        None,
        FailuresStats(name, failed, failed),
        DatabasesStats(name, databases, len(databases)),
    )


def configuration(data: bytes) -> None:
    """Check that a configuration is loaded, or refused with problems that each fit a line."""
    _assert_loaded_or_refused(load, data)


def web_configuration(data: bytes) -> None:
    """Check the same of a web configuration."""
    _assert_loaded_or_refused(lambda file: web_config_from(read_yaml(file)), data)


def _assert_loaded_or_refused(load_file: Callable[[Path], object], data: bytes) -> None:
    problems: Sequence[Problem] = ()
    loaded: object = None
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        Path(file.name).write_bytes(data)
        try:
            loaded = load_file(Path(file.name))
        except ConfigError as error:
            problems = error.problems
    assert (loaded is None) == bool(problems)
    assert all(str(problem).isprintable() for problem in problems)


def login(data: bytes) -> None:
    """Check that any Authorization header is a login, which does not show itself, or none."""
    found = parse_basic_auth(data.decode("latin-1"))
    assert found is None or repr(found) == repr(parse_basic_auth("Basic dTpw"))


def negotiation(data: bytes) -> None:
    """Check that any Accept and Accept-Encoding choose a format that there is."""
    accept, _, encoding = data.decode("latin-1").partition("|")
    assert format_for(accept) in CONTENT_TYPES
    assert accepts_gzip(encoding) in {True, False}


def request(data: bytes) -> None:
    """Check that a page is answered, or refused, whatever stands in its query and in headers, each on a line."""
    if not data:
        return
    page, (query, *values) = PAGES[data[0] % len(PAGES)], data[1:].split(b"\n")
    lines = [b"GET " + page + b"?" + query + b" HTTP/1.1", b"Host: x"]
    lines += [name + b": " + value for name, value in zip(FIELDS, values, strict=False)]
    assert ANSWER.match(answer_to(b"\r\n".join(lines) + b"\r\n\r\n"))


def times(data: bytes) -> None:
    """Check that any text is a moment, or none."""
    moment = unix_seconds(data.decode("utf-8", "replace"), ZONE)
    assert moment is None or isinstance(moment, float)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        *(answer, headers, exposition, configuration, web_configuration, negotiation, login, request, times),
    )
}
