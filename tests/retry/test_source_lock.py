"""One run at a time creates jobs in a data source, and none while a job of an earlier run is in doubt."""

from pathlib import Path

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.retry.earlier_runs import lock_source
from exporter.retry.journal import Journal, State
from tests.retry.test_journal import RUN

HERE = (RUN.endpoint, RUN.source_id)


def create_journal(folder: Path, state: State) -> Path:
    """Create the journal of an earlier run."""
    with Journal.create(folder, RUN) as journal:
        journal.update(msgspec.structs.replace(journal.entries[0], state=state))
    return journal.path


def test_a_second_run_is_blocked_until_the_first_ends(tmp_path: Path) -> None:
    with (
        lock_source(tmp_path, *HERE),
        pytest.raises(RetryStopped, match=r"data source 7 at .* is locked by another process"),
    ):
        lock_source(tmp_path, *HERE).__enter__()
    with lock_source(tmp_path, *HERE):
        pass


@pytest.mark.parametrize("source", [(RUN.endpoint, 8), ("http://127.0.0.1:2", RUN.source_id)])
def test_other_data_sources_are_not_blocked(tmp_path: Path, source: tuple[str, int]) -> None:
    create_journal(tmp_path, "sending")
    with lock_source(tmp_path, *source), lock_source(tmp_path, "http://127.0.0.1:3", 9):
        pass


@pytest.mark.parametrize("state", ["sending", "asked"])
def test_a_job_in_doubt_blocks_all_runs_except_its_own(tmp_path: Path, state: State) -> None:
    path = create_journal(tmp_path, state)
    with pytest.raises(RetryStopped, match="nothing was sent; resume that run first") as caught:
        lock_source(tmp_path, *HERE).__enter__()
    assert caught.value.resume == path
    with lock_source(tmp_path, *HERE, own=path):
        pass


@pytest.mark.parametrize("state", ["planned", "made", "done", "failed", "refused", "skipped"])
def test_settled_and_unsent_jobs_block_no_run(tmp_path: Path, state: State) -> None:
    create_journal(tmp_path, state)
    with lock_source(tmp_path, *HERE):
        pass


def test_a_copy_of_a_journal_does_not_replace_the_original(tmp_path: Path) -> None:
    path = create_journal(tmp_path / "state", "asked")
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(RetryStopped) as caught:
        lock_source(tmp_path / "state", *HERE, own=copy).__enter__()
    assert caught.value.resume == path


def test_an_unreadable_journal_blocks_all_runs(tmp_path: Path) -> None:
    (tmp_path / "retry-broken.json").write_bytes(b"{")
    with pytest.raises(RetryStopped, match="move it away once there is none"):
        lock_source(tmp_path, *HERE).__enter__()


def test_endpoints_compare_without_case_and_trailing_slash(tmp_path: Path) -> None:
    with lock_source(tmp_path, "https://MMS.example/", 7), pytest.raises(RetryStopped):
        lock_source(tmp_path, "https://mms.example", 7).__enter__()
