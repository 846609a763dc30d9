"""The file of a retry: whole at any moment, private, and held by one process."""

import asyncio
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.retry.batches import Batch, Frame, WholeTable
from exporter.retry.journal import Journal, RetryRun, entries_of, job_prefix
from tests.programs import ROOT

PREFIX = job_prefix("20250615T120000Z", "c0ffee")
BATCHES = (
    Batch(frame=Frame(src_db="sales"), partitions={"orders": (1, 2), "q'\"\\\n/=%_": (3,)}, renamed={"orders": "o"}),
    Batch(
        frame=Frame(src_db="sales", schema_only=True, column_mapping=(("a", "b"),)),
        tables=(WholeTable(id=4, name="plain"),),
    ),
)
COURSE = RetryRun(
    account="a",
    endpoint="http://127.0.0.1:1",
    source_id=7,
    source="s",
    began="2025-06-15T12:00:00+00:00",
    prefix=PREFIX,
    entries=entries_of(PREFIX, BATCHES),
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    with Journal.begun(tmp_path, COURSE) as journal:
        noted = journal.note(1, msgspec.structs.replace(journal.entries[1], state="asked", async_task_id=9))
    with Journal.resumed(journal.path) as again:
        assert again.entries == (COURSE.entries[0], noted)
        assert again.course == journal.course


def test_nobody_else_may_read_it_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    with Journal.begun(tmp_path / "state", COURSE) as journal:
        journal.note(0, journal.entries[0])
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    assert {path.suffix for path in journal.path.parent.iterdir()} == {".json", ".lock"}


def test_names_are_unique_and_none_is_a_part_of_another() -> None:
    names = [entry.name for entry in entries_of(PREFIX, BATCHES * 600)]
    assert len(set(names)) == len(names) == 1200
    assert len(set(map(len, names))) == 1
    assert all(name.startswith(PREFIX) for name in names)


async def test_a_second_process_is_kept_off(tmp_path: Path) -> None:
    with Journal.begun(tmp_path, COURSE) as journal:
        program = (
            "import sys; from pathlib import Path; from exporter.retry.journal import Journal\n"
            "with Journal.resumed(Path(sys.argv[1])): pass"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(journal.path)), stderr=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert b"another process works on it" in (await process.communicate())[1]
    with Journal.resumed(journal.path):
        pass


def test_a_link_to_a_journal_is_that_journal(tmp_path: Path) -> None:
    with Journal.begun(tmp_path / "state", COURSE) as journal:
        pass
    link = tmp_path / "link.json"
    link.symlink_to(journal.path)
    with Journal.resumed(link) as first:
        assert first.path == journal.path
        with pytest.raises(RetryStopped, match="another process works on it"):
            Journal.resumed(journal.path).__enter__()


def test_a_folder_behind_a_link_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with Journal.begun(tmp_path / "link", COURSE) as journal:
        assert journal.path.parent == tmp_path


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not what a retry wrote"),
        (b'{"format": 1}', "is not what a retry wrote"),
        (b"\xff", "is not what a retry wrote"),
        (msgspec.json.encode(msgspec.structs.replace(COURSE, format=2)), "another version"),
    ],
)
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "retry.json"
    path.write_bytes(content)
    with pytest.raises(RetryStopped, match=complaint), Journal.resumed(path):
        pass


def test_a_journal_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RetryStopped, match="no such file"), Journal.resumed(tmp_path / "none.json"):
        pass


def test_a_folder_that_cannot_be_made_stops_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RetryStopped, match="cannot be made"), Journal.begun(tmp_path / "file" / "state", COURSE):
        pass
