"""Pages: unchanged parts are not rendered again, and all encodings have the same content."""

import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    DatabasesStats,
    JobsStats,
    Snapshot,
    SourceName,
    SourceSnapshot,
    SourceStats,
)
from exporter.exposition import rendering
from exporter.exposition.families.metric_types import MetricGroup
from exporter.exposition.rendering import BATCH_PARTS, DeflatedPage, Renderer, deflated
from exporter.mms.models.records import DataSource
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.harness import Harness, harness_on

FRESHNESS: Final = Counter({AccountSnapshot: 1, CollectorSnapshot: 7})
"""Lines of each refresh beside the sources': one for the account."""


def source(source_id: int, tables_done: int = 1) -> SourceSnapshot:
    name = SourceName("a", source_id, f"source-{source_id}")
    row = DataSource(id=source_id, name=name.source, tables_done_num=tables_done)
    jobs = JobsStats(name, {"DONE": 1}, 0, (), 0)
    return SourceSnapshot(name, SourceStats(name, row, None, None), jobs, refreshed=True, last_success_at=1.0)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Provide the list of parts rendered during the test."""
    parts: list[object] = []
    part_texts = rendering._part_texts  # noqa: SLF001 - rendering of a part is not visible otherwise

    def counted(group: MetricGroup[object], part: object) -> object:
        parts.append(part)
        return part_texts(group, part)

    monkeypatch.setattr(rendering, "_part_texts", counted)
    return parts


def test_only_changed_parts_are_rendered_again(rendered: list[object]) -> None:
    renderer = Renderer()
    sources = tuple(source(number) for number in range(100))
    account = AccountSnapshot("a", up=True, sources=sources)
    renderer.render(Snapshot((account,)))
    rendered.clear()
    renderer.render(Snapshot((account,)))
    assert rendered == []
    changed = source(7, tables_done=2)
    renderer.render(Snapshot((replace(account, sources=(*sources[:7], changed, *sources[8:])),)))
    assert [part for part in rendered if isinstance(part, SourceStats)] == [changed.stats]
    assert len(rendered) == 3, "the account, the row of the source that changed, and its freshness; not its jobs"


async def test_a_refresh_without_changes_renders_only_freshness(rendered: list[object]) -> None:
    """The time of the last success changes with every refresh."""
    async with refreshed_harness() as (harness, world):
        rendered.clear()
        await harness.refresh()
        assert Counter(map(type, rendered)) == FRESHNESS | {SourceSnapshot: len(world.source_ids())}


async def test_a_changed_source_renders_only_its_parts_and_freshness(
    rendered: list[Any],
) -> None:
    async with refreshed_harness() as (harness, world):
        changed = world.source_ids()[3]
        apply_event(world, events.SetAgent(source_id=changed, online=False))
        apply_event(world, events.StopJob(source_id=changed, job_id=unfinished_job(world, changed)))
        rendered.clear()
        await harness.refresh()
    beside = [part for part in rendered if type(part) not in {*FRESHNESS, SourceSnapshot}]
    assert [type(part) for part in beside] == [SourceStats, *[JobsStats] * 2, *[DatabasesStats] * 2], (
        "a source, its jobs, each job, each database, the number of omitted ones"
    )
    assert {part.name.source_id for part in beside} == {changed}


@asynccontextmanager
async def refreshed_harness() -> AsyncIterator[tuple[Harness, World]]:
    """Provide a harness refreshed once, one minute ago, and its static world."""
    world, clock = World(WorldOptions(sources=5, failure_rate=0), clock=ManualClock()), ManualClock()
    async with (
        Simulator(world, identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        await harness.refresh()
        clock.advance(60)
        yield harness, world


def unfinished_job(world: World, source_id: int) -> int:
    return next(job.id for job in world.truth().jobs(source_id) if job.status == "DOING")


def test_removed_objects_disappear_from_the_page() -> None:
    renderer = Renderer()
    both = AccountSnapshot("a", up=True, sources=(source(1), source(2)))
    renderer.render(Snapshot((both,)))
    page = renderer.render(Snapshot((replace(both, sources=(source(2),)),)))
    assert b'source_id="1"' not in page.plain
    assert b'source_id="2"' in page.plain


def test_an_empty_snapshot_gives_an_empty_page() -> None:
    page = Renderer().render(Snapshot())
    assert page.plain == b""
    assert page.series == 0


@given(st.lists(st.binary(max_size=2000), max_size=4), st.binary(max_size=500))
def test_chunks_and_appended_text_form_one_gzip_member(pieces: list[bytes], rest: bytes) -> None:
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    compressed = DeflatedPage.from_chunks(map(deflated, pieces), pieces)
    assert member.decompress(b"".join(compressed.gzip_with(rest))) == b"".join((*pieces, rest))
    assert member.eof, "length and checksum fit"
    assert member.unused_data == b"", "and nothing comes after"


def test_unchanged_families_are_the_same_bytes_object() -> None:
    """Joining a page of megabytes again would waste time if few families change."""
    renderer = Renderer()
    pages = [
        renderer.render(Snapshot((AccountSnapshot("a", up=True, sources=(source(1, tables_done=done), source(2))),)))
        for done in (1, 2)
    ]
    before = set(map(id, pages[0].pieces))
    new = [piece for piece in pages[1].pieces if id(piece) not in before]
    assert [b"mms_tables" in piece for piece in new] == [True]
    assert len(pages[1].pieces) > len(new)


def test_equal_parts_are_not_rendered_again(rendered: list[object]) -> None:
    renderer = Renderer()
    for _ in range(2):
        sources = tuple(source(number) for number in range(3))
        rendered.clear()
        renderer.render(Snapshot((AccountSnapshot("a", up=True, sources=sources),)))
    assert rendered == []


def test_an_added_or_removed_source_changes_no_other_text(rendered: list[object]) -> None:
    renderer = Renderer()
    sources = tuple(source(number) for number in range(3 * BATCH_PARTS))
    account = AccountSnapshot("a", up=True, sources=sources)
    renderer.render(Snapshot((account,)))
    new = source(-1)
    for there, expected in ((sources[5:], []), ((new, *sources[5:]), [new.stats])):
        rendered.clear()
        renderer.render(Snapshot((replace(account, sources=there),)))
        assert [part for part in rendered if isinstance(part, SourceStats)] == expected


@given(st.data())
def test_a_page_does_not_depend_on_earlier_pages(data: st.DataObject) -> None:
    states = st.lists(st.builds(source, st.integers(0, 200), st.integers(0, 3)), unique_by=lambda each: each.name)
    renderer = Renderer()
    for sources in data.draw(st.lists(states, max_size=4)):
        now = Snapshot((AccountSnapshot("a", up=True, sources=tuple(sources)),))
        assert renderer.render(now).plain == Renderer().render(now).plain


def test_series_are_counted() -> None:
    page = Renderer().render(Snapshot((AccountSnapshot("a", up=True, sources=(source(1),)),)))
    lines = [line for line in page.plain.splitlines() if not line.startswith(b"#")]
    assert page.series == len(lines)
