"""The journal file is complete at any moment, private, and open in one process."""

import asyncio
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.retry.journal import Journal, RetryRun, job_prefix, new_entries
from exporter.retry.units import Batch, JobTemplate, WholeTable
from tests.programs import ROOT

PREFIX = job_prefix("20250615T120000Z", "c0ffee")
BATCHES = (
    Batch(
        template=JobTemplate(src_db="sales"),
        partitions={"orders": (1, 2), "q'\"\\\n/=%_": (3,)},
        renamed={"orders": "o"},
    ),
    Batch(
        template=JobTemplate(src_db="sales", schema_only=True, column_mapping=(("a", "b"),)),
        tables=(WholeTable(id=4, name="plain"),),
    ),
)
RUN = RetryRun(
    account="a",
    endpoint="http://127.0.0.1:1",
    source_id=7,
    source="s",
    began="2025-06-15T12:00:00+00:00",
    prefix=PREFIX,
    entries=new_entries(PREFIX, BATCHES),
)


def test_a_journal_reads_back_unchanged(tmp_path: Path) -> None:
    with Journal.create(tmp_path, RUN) as journal:
        journal.update(msgspec.structs.replace(journal.entries[1], state="asked", async_task_id=9))
        noted = journal.entries[1]
    with Journal.open(journal.path) as again:
        assert again.entries == (RUN.entries[0], noted)
        assert again.run == journal.run


def test_a_journal_is_private_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "state", RUN) as journal:
        journal.update(journal.entries[0])
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    assert {path.suffix for path in journal.path.parent.iterdir()} == {".json", ".lock"}


def test_job_names_are_unique_and_none_is_part_of_another() -> None:
    names = [entry.name for entry in new_entries(PREFIX, BATCHES * 600)]
    assert len(set(names)) == len(names) == 1200
    assert len(set(map(len, names))) == 1
    assert all(name.startswith(PREFIX) for name in names)


async def test_a_second_process_cannot_open_the_journal(tmp_path: Path) -> None:
    with Journal.create(tmp_path, RUN) as journal:
        program = (
            "import sys; from pathlib import Path; from exporter.retry.journal import Journal\n"
            "with Journal.open(Path(sys.argv[1])): pass"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(journal.path)), stderr=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert b"is locked by another process" in (await process.communicate())[1]
    with Journal.open(journal.path):
        pass


def test_a_link_shares_the_lock_of_its_journal(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "state", RUN) as journal:
        pass
    link = tmp_path / "link.json"
    link.symlink_to(journal.path)
    with Journal.open(link) as first:
        assert first.path == journal.path
        with pytest.raises(RetryStopped, match="is locked by another process"):
            Journal.open(journal.path).__enter__()


def test_a_linked_folder_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with Journal.create(tmp_path / "link", RUN) as journal:
        assert journal.path.parent == tmp_path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a journal of mms-exporter retry"),
        (b'{"format": 1}', "is not a journal of mms-exporter retry"),
        (b"\xff", "is not a journal of mms-exporter retry"),
        (msgspec.json.encode(msgspec.structs.replace(RUN, format=2)), "another version"),
    ],
)
def test_an_invalid_journal_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "retry.json"
    path.write_bytes(content)
    with pytest.raises(RetryStopped, match=message), Journal.open(path):
        pass


def test_a_missing_journal_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RetryStopped, match="no such file"), Journal.open(tmp_path / "none.json"):
        pass


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RetryStopped, match="cannot create"), Journal.create(tmp_path / "file" / "state", RUN):
        pass
