"""Messages of failed tasks have the reasons of the samples; their text is safe, short and grouped for people."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.masking import HIDDEN
from exporter.mms.diagnosis import message_text
from exporter.mms.diagnosis.message_text import decisive_part, decisive_row, message_of, pattern_of, readable
from exporter.mms.diagnosis.reason_rules import RULES, UNKNOWN_RULE, Reason, rule_of
from exporter.mms.models.task_records import TaskLog
from tests.mms.conftest import SAMPLES

CANARY: Final = "canary7f3a"
PARTS: Final = ("known", "held_out", "held_out_2", "held_out_3", "names")
"""Sample files; tests/samples/README.md or the head of the file says how each came to be."""


def samples(part: str) -> Iterator[tuple[Reason, str]]:
    """Yield the messages of a file with their reasons."""
    by_reason = yaml.safe_load((SAMPLES / "failures" / f"{part}.yaml").read_text(encoding="utf-8"))
    for reason, by_source in by_reason.items():
        assert all(by_source), "each message names its source"
        yield from ((Reason(reason), message) for messages in by_source.values() for message in messages)


@pytest.mark.parametrize("part", PARTS)
def test_no_sample_has_a_wrong_reason_and_few_are_unknown(part: str) -> None:
    listed = list(samples(part))
    found = [(reason, rule_of(message).reason, message) for reason, message in listed]
    assert [each for each in found if each[0] != each[1]] == []
    assert Counter(reason for reason, _ in listed)[Reason.UNKNOWN] <= len(listed) / 10


@pytest.mark.parametrize(
    "names",
    [
        "table p.orders_timeout",
        "access_denied",
        "`rate limit`",
        "'forbidden'",
        "s3://quota-exceeded/timeout",
        "jdbc:hive2://throttled.example.com:1/db;connectTimeout=5",
        "/user/forbidden/timeout/p=1",
        "DB.PUBLIC.TIMEOUT",
        "SELECT id, timeout, forbidden AS throttled FROM t WHERE timeout > 5",
        "table t (timeout int, forbidden string)",
    ],
)
def test_names_do_not_decide(names: str) -> None:
    listed = [(reason, message) for part in PARTS for reason, message in samples(part)]
    placed = [(reason, text) for reason, message in listed for text in (f"{names}: {message}", f"{message} ({names})")]
    found = [(reason, rule_of(text).reason, text) for reason, text in placed]
    assert [each for each in found if each[0] != each[1]] == []


def test_there_are_enough_samples_and_each_reason_has_some() -> None:
    listed = [sample for part in PARTS for sample in samples(part)]
    assert len({message for _, message in listed}) >= 150
    assert {reason for reason, _ in listed} == set(Reason)


def test_each_rule_has_evidence_and_a_hint_of_one_sentence() -> None:
    for rule in (*RULES, UNKNOWN_RULE):
        assert rule.evidence
        assert rule.hint.endswith(".")
        assert rule.hint.count(". ") == 0
        assert all(phrase == phrase.lower().strip() and len(phrase) > 1 for phrase in rule.phrases)
    assert [reason for reason in Reason if reason not in {rule.reason for rule in (*RULES, UNKNOWN_RULE)}] == []


def test_classes_in_a_stack_trace_do_not_decide() -> None:
    frames = "\tat org.apache.hadoop.security.AccessControlException.check(FSPermissionChecker.java:319)\n" * 20
    assert rule_of(f"java.io.IOException: Broken pipe\n{frames}\t... 17 more").reason is Reason.NETWORK


def test_the_last_cause_of_a_long_message_counts() -> None:
    frames, cause = "\tat com.example.Deep.call(Deep.java:1)\n" * 1500, "java.net.SocketException: Connection reset"
    message = f"org.apache.spark.SparkException: Job aborted.\n{frames}Caused by: {cause}"
    assert len(message) > message_text.MAX_HEAD + message_text.MAX_TAIL
    assert rule_of(message).reason is Reason.NETWORK
    assert decisive_part(message) == cause


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ('{"Code":"ODPS-0130013","Message":"', Reason.PERMISSION),
        ("没有权限", Reason.PERMISSION),
        ("Timeout:", Reason.TIMEOUT),
    ],
)
@pytest.mark.parametrize("word", ["x", "长"])
def test_a_long_message_without_spaces_keeps_its_start(start: str, reason: Reason, word: str) -> None:
    message = start + word * 12_000
    assert rule_of(message).reason is reason
    for text in (readable(message), decisive_part(message), pattern_of(message)):
        assert text.startswith(start[:8])


@pytest.mark.parametrize(
    "hostile",
    [
        *("a" * 65536, " " * 65536, "\n" * 65536, "'a" * 32768, "a-" * 32768, "/a" * 32768, "1." * 32768),
        *("a_" * 32768, "a.A" * 22000, "select a," * 7000, "select " + "a," * 32000, "code " * 13000, "a=" * 32768),
        *("insert into a (" * 4400, "table A_" * 8000, "and a.`" * 9000, "com." * 16000, "a://" * 16000, "`a" * 32768),
        *("Caused by: " * 6000, "\tat a.b(" * 9000, "count: " * 9000, "does not have " * 4600, "row count " * 6500),
    ],
    ids=lambda text: text[:10].strip() or "space",
)
def test_hostile_text_takes_bounded_time(hostile: str) -> None:
    began = time.process_time()
    rule_of(hostile)
    pattern_of(hostile)
    assert time.process_time() - began < 2


@given(st.text(max_size=300), st.sampled_from([pattern_of, readable, decisive_part]))
def test_text_for_people_is_printable_and_short(message: str, shorten: Callable[[str], str]) -> None:
    text = shorten(message)
    assert text.isprintable()
    assert len(text) <= message_text.MAX_SHOWN


@pytest.mark.parametrize(
    "secret",
    [
        f"jdbc:hive2://mma:{CANARY}@10.0.0.1:10000/default",
        f"fs.s3a.secret.key={CANARY}",
        f'{{"accessKeySecret": "{CANARY}"}}',
        f"\x1b[31mpassword\x1b[0m: {CANARY}",
        f"Authorization: Bearer {CANARY}",
    ],
)
@pytest.mark.parametrize("distance", [0, 5950, 5980, 7000])
def test_a_secret_stays_hidden_wherever_a_long_message_is_cut(secret: str, distance: int) -> None:
    message = f"{'x ' * (distance // 2)}{secret} {'y ' * 4000}\nCaused by: java.io.IOException: {secret}"
    for text in (readable(message, 10_000), decisive_part(message), pattern_of(message)):
        assert CANARY[:6] not in text
    assert HIDDEN in decisive_part(message)


def test_messages_of_one_cause_have_one_pattern() -> None:
    messages = (
        f"RequestId=2024{number}c23a, ErrorCode=NoPermission, ErrorMessage=You have NO privilege 'odps:Select' on "
        f"{{acs:odps:*:projects/dst/tables/t{number}}}, host 10.0.0.{number}:80"
        for number in range(100)
    )
    assert {pattern_of(message) for message in messages} == {
        "RequestId=<id>, ErrorCode=NoPermission, ErrorMessage=You have NO privilege <name> on <name>, host <address>"
    }


def test_patterns_keep_what_names_the_cause() -> None:
    assert (
        pattern_of("ODPS-0130131:[1,13] Table not found - table a.b_1 cannot be resolved")
        == "ODPS-0130131:[<n>] Table not found - table <name> cannot be resolved"
    )
    assert pattern_of("amazonaws.AmazonS3Exception: hive Count: 1200000, odps Count: 1187").endswith(
        "AmazonS3Exception: hive Count: <n>, odps Count: <n>"
    )


def test_the_newest_row_of_a_failure_decides() -> None:
    rows = [
        TaskLog(id=3, status="DATA_FAILED", msg="third"),
        TaskLog(id=1, status="SCHEMA_FAILED", msg="first"),
        TaskLog(id=4, status="DATA_DOING", msg="ok"),
        TaskLog(id=5, status="DATA_FAILED"),
    ]
    row = decisive_row(rows)
    assert row is not None
    assert message_of(row) == "third"
    assert decisive_row(rows[2:3]) is rows[2]
    assert decisive_row([*rows, TaskLog(id=6, status="DATA_FAILED", action="DATA_MOVE")]) is rows[0]
    assert decisive_row([TaskLog(id=1)]) is None
