"""Pages: what did not change is not rendered again, and every form of a page says the same."""

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collect.snapshot import AccountSnapshot, JobsFigures, Snapshot, SourceFigures, SourceName, SourceSnapshot
from exporter.exposition import rendering
from exporter.exposition.family import Part
from exporter.exposition.rendering import Deflated, Renderer
from exporter.mms.models import DataSource


def source(source_id: int, tables_done: int = 1) -> SourceSnapshot:
    name = SourceName("a", source_id, f"source-{source_id}")
    row = DataSource(id=source_id, name=name.source, tables_done_num=tables_done)
    jobs = JobsFigures(name, {"DONE": 1}, 0, (), 0)
    return SourceSnapshot(name, SourceFigures(name, row, None, None), jobs, refreshed=True, last_success_at=1.0)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Provide the parts that are rendered from here on."""
    parts: list[object] = []
    chunks = rendering._chunks  # noqa: SLF001 - what is counted here has no other sign

    def counted(kind: Part[object], part: object, values: tuple[str, ...]) -> object:
        parts.append(part)
        return chunks(kind, part, values)

    monkeypatch.setattr(rendering, "_chunks", counted)
    return parts


def test_only_what_changed_is_rendered_again(rendered: list[object]) -> None:
    renderer = Renderer()
    sources = tuple(source(number) for number in range(100))
    account = AccountSnapshot("a", up=True, sources=sources)
    renderer.render(Snapshot((account,)))
    rendered.clear()
    renderer.render(Snapshot((account,)))
    assert rendered == []
    changed = source(7, tables_done=2)
    renderer.render(Snapshot((replace(account, sources=(*sources[:7], changed, *sources[8:])),)))
    assert [part for part in rendered if isinstance(part, SourceFigures)] == [changed.figures]
    assert len(rendered) == 4, "the account, and the three parts of the source that changed"


def test_what_is_gone_leaves_the_page() -> None:
    renderer = Renderer()
    both = AccountSnapshot("a", up=True, sources=(source(1), source(2)))
    renderer.render(Snapshot((both,)))
    page = renderer.render(Snapshot((replace(both, sources=(source(2),)),)))
    assert b'source_id="1"' not in page.plain["text"]
    assert b'source_id="2"' in page.plain["text"]


def test_an_empty_snapshot_gives_an_empty_page() -> None:
    page = Renderer().render(Snapshot())
    assert page.plain == {"text": b"", "openmetrics": b""}
    assert page.series == 0


@given(st.binary(max_size=5000), st.binary(max_size=500))
def test_what_is_appended_to_a_compressed_page_makes_one_gzip_member(page: bytes, rest: bytes) -> None:
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    assert member.decompress(b"".join(Deflated.from_page(page).gzip_with(rest))) == page + rest
    assert member.eof, "length and checksum fit"
    assert member.unused_data == b"", "and nothing comes after"


def test_series_are_counted() -> None:
    page = Renderer().render(Snapshot((AccountSnapshot("a", up=True, sources=(source(1),)),)))
    lines = [line for line in page.plain["text"].splitlines() if not line.startswith(b"#")]
    assert page.series == len(lines)
