"""Masking removes planted secrets, in linear time also for hostile text."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.masking import HIDDEN, masked

CANARY = "canary7f3a"
URL_SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"'), max_size=8)
WORDS = st.text(st.sampled_from("aZ09@:/?#%[]{}(),;&=+-_.~!$*^|<>'\\"), max_size=8)
ANY = st.text(st.characters(codec="utf-8"), max_size=8)
KEYS = st.sampled_from(
    [
        *("password", "db.passwd", "PWD", "accessKeySecret", "fs.oss.accessKeyId", "access_key_id", "security-token"),
        *(
            "clientSecret",
            "X-Auth-Token",
            "api_key",
            "private.key",
            "authorization",
            "x-acs-signature",
            "secret_token_2",
        ),
    ]
)
FRAGMENTS = st.sampled_from(
    [
        *("password", "token", "secret", "authorization", "accessKey", "identified by", "sas", "bearer ", "basic "),
        *(
            "=",
            ":",
            " ",
            "  ",
            '"',
            "'",
            "\\",
            '\\"',
            "<",
            ">",
            "</name>",
            "<value>",
            "value",
            "->",
            "@",
            "://",
            "jdbc:",
        ),
        *(
            "/",
            "?",
            "&",
            ";",
            ",",
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "--",
            "-",
            "%3d",
            "\n",
            "\x1b[31m",
            "\x1b]",
            "\x00",
            "`",
        ),
        *("LTAI5abcdef", "STS.abcdefg", "eyJhbGciOiJIUzI1NiJ9.x", "-----BEGIN PRIVATE KEY-----", "-----END", HIDDEN),
        *("a", "hmac-", "user:"),
    ]
)
HOSTILE = st.lists(FRAGMENTS, max_size=25).map("".join)
LENGTH = 64 * 1024
UNITS = [
    *("://", "a:@", "@", "password", "password=", "token ", "token-", "token_", 'token"', "token='", '\\"', "\\", "'"),
    *("--", " -", "-", " --" + "a" * 40, "\x1b[", "\x1b]", "<", "token</a>", "</a> <v>", "[", "{", "bearer ", "%3d"),
    *(
        'password", ',
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN",
        "eyJ",
        "LTAI",
        "hmac-",
        "identified ",
        " ",
        "a",
        "\0",
    ),
]


@given(text=st.one_of(st.text(), HOSTILE))
@example("\ud800 password=\udfff")
def test_masking_never_raises_is_idempotent_and_returns_one_line(text: str) -> None:
    once = masked(text)
    assert once.isprintable()
    assert masked(once) == once


@given(key=KEYS, secret=WORDS, separator=st.sampled_from(["=", ": ", ":", " = ", " => ", "->", "%3D"]))
def test_values_of_secret_keys_are_masked(key: str, secret: str, separator: str) -> None:
    text = f"connect with {key}{separator}x{secret}{CANARY}{secret}, then go on"
    assert CANARY not in masked(text)
    assert masked(text).startswith(f"connect with {key}{separator}")


@given(key=KEYS, secret=ANY, depth=st.integers(1, 3), compact=st.booleans())
def test_values_of_secret_keys_in_nested_json_are_masked(key: str, secret: str, depth: int, *, compact: bool) -> None:
    value: object = {"user": "root", key: f"{secret}{CANARY}{secret}{CANARY}", "last": 1}
    for _ in range(depth):
        value = json.dumps(value, separators=(",", ":") if compact else None)
        assert CANARY not in masked(str(value))
        assert "root" in masked(str(value))
        value = {"extra": value}


@given(secret=ANY, key=KEYS)
def test_lists_and_objects_of_secrets_are_masked(secret: str, key: str) -> None:
    for value in ([secret, CANARY], {"a": secret, "b": [CANARY]}):
        assert CANARY not in masked(json.dumps({key: value}))


@given(user=WORDS, secret=URL_SECRETS, scheme=st.sampled_from(["jdbc:mysql", "https", "mongodb+srv", "s3"]))
def test_user_info_of_urls_is_masked(user: str, secret: str, scheme: str) -> None:
    shown = masked(f"see {scheme}://{user}:{secret}{CANARY}{secret}@db.example.com:3306/sales now")
    assert CANARY not in shown
    assert shown.startswith("see ")
    assert shown.endswith(" now")


@given(noise=HOSTILE, secret=WORDS)
def test_secrets_after_other_text_are_masked(noise: str, secret: str) -> None:
    assert CANARY not in masked(f'{noise}\npassword="x{secret.replace(chr(92), "")}{CANARY}"')
    assert CANARY not in masked(f"{noise} jdbc:mysql://root:{CANARY}@host/db")


@given(
    noise=st.sampled_from(["\x1b[31m", "\x00", "\u200b", "\u202e", "\x1b]0;title\x07", "\x9b1m"]), at=st.integers(1, 7)
)
def test_invisible_characters_do_not_hide_a_key(noise: str, at: int) -> None:
    assert masked(f"{'password'[:at]}{noise}{'password'[at:]}={CANARY}") == f"password={HIDDEN}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jdbc:mysql://root:s3cret@host/db", "jdbc:mysql://<hidden>@host/db"),
        ("jdbc:oracle:thin:scott/tiger@//host:1521/s", "<hidden>@//host:1521/s"),
        ("oss://LTAI5tExample:s3cret@bucket/path", "oss://<hidden>@bucket/path"),
        ("https://bucket/path?token=abc", "https://bucket/path?token=<hidden>"),
        ("https://host/?token=a@b", "https://<hidden>"),
        ('{"password": "x", "user": "y"}', '{"password": "<hidden>", "user": "y"}'),
        ('{"name": "db.password", "value": "x"}', '{"name": "db.password", "value": "<hidden>"}'),
        ("<password>a b</password>", "<password><hidden></password>"),
        ("<name>fs.secret</name> <value>a</value> <b/>", "<name>fs.secret</name> <value><hidden></value> <b/>"),
        ("mysql --password s3cret -h host", "mysql --password <hidden> -h host"),
        ("CREATE USER x IDENTIFIED BY 'a b';", "CREATE USER x IDENTIFIED BY '<hidden>';"),
        ("Authorization: Basic cm9vdDp4 and so on", "Authorization: <hidden> and so on"),
        ("Authorization: ACS3-HMAC-SHA256 Credential=LTAI5t,Signature=ab", "Authorization: <hidden>"),
        ("sent Bearer abc.def", "sent Bearer <hidden>"),
        ("key LTAI5tExampleExample is inactive", "key <hidden> is inactive"),
        ("数据源密码：s3cret", "数据源密码：<hidden>"),  # noqa: RUF001 - a message of MMS
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nx", "<hidden> x"),
        ("one\ntwo\x1b[31m\u202e", "one two"),
    ],
)
def test_only_the_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("", "hive", "alice@example.com", "ds=20240101/region=cn", "hdfs://nn-1:8020/user/hive/warehouse/orders"),
        *("oss://bucket/warehouse/orders", '{"field.delim":"|"}', "org.apache.hadoop.hive.ql.io.orc.OrcSerde"),
        *("3 tests passed: 2024-01-01 10:00:00", "vpc-2ze2000001:cn-shanghai", "https://host/p?partition=1&x=2"),
    ],
)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("unit", UNITS)
def test_masking_takes_linear_time(unit: str) -> None:
    """Quadratic time would take minutes for 64 KiB; the limit allows for a busy machine."""
    text = (unit * LENGTH)[:LENGTH]
    begun = time.process_time()
    once = masked(text)
    assert time.process_time() - begun < 3
    assert masked(once) == once
