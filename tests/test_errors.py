"""The tree of errors: each class has a reason, a retry flag and a hint."""

import re

import pytest

from exporter import errors
from exporter.errors import REASONS, ConfigError, MmsError, Problem, RequestRejected

ALLOWED = {
    *("throttled", "auth", "permission", "unsupported", "not_found", "timeout", "connection"),
    *("server", "malformed", "too_large", "credentials", "rejected"),
}
RETRYABLE = {"throttled", "timeout", "connection", "server", "malformed"}


def leaves(kind: type[MmsError] = MmsError) -> list[type[MmsError]]:
    """Return all leaf classes of MmsError."""
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in leaves(each)] if below else [kind]


def other_errors() -> list[str]:
    """Return the names of the other errors."""
    return [kind.__name__ for kind in errors.ExporterError.__subclasses__() if kind is not MmsError]


def test_each_class_has_a_unique_known_reason() -> None:
    assert sorted(leaf.reason for leaf in leaves()) == sorted(ALLOWED)
    assert set(REASONS) == ALLOWED


@pytest.mark.parametrize("leaf", leaves())
def test_each_class_says_whether_a_retry_can_help(leaf: type[MmsError]) -> None:
    assert leaf.retryable is (leaf.reason in RETRYABLE)


@pytest.mark.parametrize("leaf", leaves())
def test_each_class_has_a_hint_of_one_line(leaf: type[MmsError]) -> None:
    assert re.fullmatch(r"[a-z][^\n]{15,}[^\n.]", leaf.hint)


@pytest.mark.parametrize("leaf", leaves())
def test_the_tree_in_the_docstring_shows_each_class(leaf: type[MmsError]) -> None:
    retry = "yes" if leaf.retryable else "no"
    line = rf"[├└]── {leaf.__name__} +{leaf.reason} +retry: {retry}"
    assert len(re.findall(rf"^ +{line}$", errors.__doc__ or "", re.MULTILINE)) == 1


def test_the_tree_in_the_docstring_has_no_other_classes() -> None:
    drawn = re.findall(r"── (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted([*other_errors(), "MmsError", *(leaf.__name__ for leaf in leaves())])


def test_an_mms_error_shows_status_code_and_request_id() -> None:
    bare = RequestRejected("GetMmsTable failed")
    full = RequestRejected("GetMmsTable failed", status=400, code="InvalidParameter", request_id="C1F7", wait_seconds=2)
    assert str(bare) == "GetMmsTable failed"
    assert str(full) == "GetMmsTable failed (status 400, code InvalidParameter, request_id C1F7)"


def test_a_config_error_shows_all_problems_with_their_paths() -> None:
    error = ConfigError(Problem("accounts[0].region", "is required"), Problem("", "expected a mapping"))
    assert str(error) == "accounts[0].region: is required\nexpected a mapping"
    assert error.problems[0].path == "accounts[0].region"
