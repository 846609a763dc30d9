"""The lists of one refresh, counted together."""

from exporter.collect.snapshot import JobStats
from exporter.collect.state.job_state import JobLists
from exporter.mms.models.records import Job
from exporter.mms.models.statuses import JobStatus


def job(job_id: int, status: str) -> JobStats:
    """Return a job with an id and a status only."""
    return JobStats(Job(id=job_id, status=JobStatus(status)), None, None)


def test_a_job_that_moved_to_a_later_list_counts_there_only() -> None:
    lists = JobLists()
    lists.add_list("DOING", 2, [job(1, "DOING"), job(2, "DOING")])
    lists.add_list("DONE", 1, [job(2, "DONE")])
    assert lists.counts() == {"DOING": 1, "DONE": 1}


def test_a_row_that_a_list_repeats_counts_once() -> None:
    lists = JobLists()
    lists.add_list("DONE", 8, [job(14, "DONE"), job(14, "DONE"), job(12, "DONE")])
    assert lists.counts() == {"DONE": 8}
