"""One run at a time makes jobs in a data source, and none while it is not known what became of an earlier one's."""

from pathlib import Path

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.retry.journal import Journal, State
from exporter.retry.source_lock import claimed
from tests.retry.test_journal import COURSE

HERE = (COURSE.endpoint, COURSE.source_id)


def left(folder: Path, state: State) -> Path:
    """Leave a journal with a job in this state, as an earlier run would."""
    with Journal.begun(folder, COURSE) as journal:
        journal.note(0, msgspec.structs.replace(journal.entries[0], state=state))
    return journal.path


def test_a_second_run_is_kept_out_until_the_first_has_ended(tmp_path: Path) -> None:
    with claimed(tmp_path, *HERE), pytest.raises(RetryStopped, match=r"data source 7 at .*: another process works"):
        claimed(tmp_path, *HERE).__enter__()
    with claimed(tmp_path, *HERE):
        pass


@pytest.mark.parametrize("place", [(COURSE.endpoint, 8), ("http://127.0.0.1:2", COURSE.source_id)])
def test_other_data_sources_are_not_in_the_way(tmp_path: Path, place: tuple[str, int]) -> None:
    left(tmp_path, "sending")
    with claimed(tmp_path, *place), claimed(tmp_path, "http://127.0.0.1:3", 9):
        pass


@pytest.mark.parametrize("state", ["sending", "asked"])
def test_a_job_in_doubt_keeps_everyone_out_but_the_run_that_settles_it(tmp_path: Path, state: State) -> None:
    path = left(tmp_path, state)
    with pytest.raises(RetryStopped, match=f"nothing was sent; settle that first: .* --resume={path}"):
        claimed(tmp_path, *HERE).__enter__()
    with claimed(tmp_path, *HERE, own=path):
        pass


@pytest.mark.parametrize("state", ["planned", "made", "done", "failed", "refused", "skipped"])
def test_what_is_settled_or_was_never_sent_keeps_nobody_out(tmp_path: Path, state: State) -> None:
    left(tmp_path, state)
    with claimed(tmp_path, *HERE):
        pass


def test_a_copy_of_a_journal_is_not_the_one_that_is_in_doubt(tmp_path: Path) -> None:
    path = left(tmp_path / "state", "asked")
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(RetryStopped, match=f"--resume={path}"):
        claimed(tmp_path / "state", *HERE, own=copy).__enter__()


def test_a_journal_that_cannot_be_read_keeps_everyone_out(tmp_path: Path) -> None:
    (tmp_path / "retry-broken.json").write_bytes(b"{")
    with pytest.raises(RetryStopped, match="move it away once none is"):
        claimed(tmp_path, *HERE).__enter__()


def test_the_endpoint_is_the_same_however_it_is_spelled(tmp_path: Path) -> None:
    with claimed(tmp_path, "https://MMS.example/", 7), pytest.raises(RetryStopped):
        claimed(tmp_path, "https://mms.example", 7).__enter__()
