"""Statuses are normalised once, when a response is decoded."""

import json

import pytest

from exporter.mms.decoding import decode_page
from exporter.mms.models.api_record import record_from
from exporter.mms.models.records import DataSource, Job
from exporter.mms.models.statuses import TASK_PHASES, JobStatus, SourceType, TaskStatus, is_unknown
from exporter.mms.models.task_records import Task


def decoded(status: object, name: str = "j") -> Job:
    """Return a job decoded with this status; a name can force decoding row by row."""
    rows = [{"id": 1, "name": name, "status": status}]
    return decode_page(Job, json.dumps({"data": {"objectList": rows, "total": 1}}).encode()).value.rows[0]


@pytest.mark.parametrize("name", ["j", 'a "quoted" name'])
@pytest.mark.parametrize("text", ["FAILED", "failed", " Failed\n"])
def test_any_spelling_of_a_known_status_is_its_member(text: str, name: str) -> None:
    assert decoded(text, name).status is JobStatus.FAILED


@pytest.mark.parametrize("name", ["j", 'a "quoted" name'])
def test_an_unknown_status_keeps_its_text(name: str) -> None:
    status = decoded("Archived", name).status
    assert status is not None
    assert (status, status.name, is_unknown(status)) == ("ARCHIVED", "UNKNOWN", True)
    assert list(JobStatus) == ["INIT", "DOING", "DONE", "FAILED"], "it is no member"


@pytest.mark.parametrize("name", ["j", 'a "quoted" name'])
@pytest.mark.parametrize("absent", [None, "", " \n", 7, []])
def test_an_absent_or_invalid_status_is_none(absent: object, name: str) -> None:
    assert decoded(absent, name).status is None
    assert not is_unknown(None)


def test_the_type_of_a_source_has_one_spelling() -> None:
    types = [record_from({"id": 1, "type": text}, DataSource).type for text in ("DataBricks", "Hive\n", "Oracle")]
    assert types == [SourceType.DATABRICKS, SourceType.HIVE, "ORACLE"]


def test_each_phase_of_a_task_has_three_statuses() -> None:
    phases = [f"{phase}_{end}" for phase in TASK_PHASES for end in ("DOING", "DONE", "FAILED")]
    assert list(TaskStatus) == ["INIT", *phases, "DONE"]
    assert Task(id=1, status=TaskStatus("data_done")).status == "DATA_DONE"
