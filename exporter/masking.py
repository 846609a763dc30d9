"""Make text of others safe to show: printable characters only, secrets hidden. Pure.

Text goes through `masked` where it is written out; names and ids only through `printable`, because people copy them
back. When in doubt it hides too much. Each pattern consumes what it scans or looks ahead a bounded distance, so the
time grows with the length only.
"""

import re
from typing import Final


def printable(text: str) -> str:
    """Return `text` with control characters, line breaks, bidirectional overrides and the like as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


HIDDEN: Final = "<hidden>"
"""What stands in place of a secret."""

# ESC [ ... letter sets colours, ESC ] ... BEL the title of a terminal. The bound keeps an open one from eating text.
_ESCAPE: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)")
_WORD: Final = (
    r"(?:passw(?:or)?d|passphrase|passcode|pass(?![a-z])|pwd|secret|token|credential|cookie|authorization|signature"
    r"|(?:access|api|private|account|shared|encryption|storage)[_.-]?key|external[_.-]?id|identified\s+by|密码|口令"
    r"|(?<![a-z])(?:sig|sas|auth|ak|sk)(?![a-z]))(?:[\w.]|-(?!>)){0,40}+"
)
"""The part of a key that says its value is secret, and the rest of the key."""
_QUOTE: Final = r"\\*+[\"'`]"
_SEPARATOR: Final = (
    rf"(?:(?:{_QUOTE})?\]?\s*+(?:[:=：＝]|%3[ad]|->|>(?=\s))[=>]?\s*+"  # noqa: RUF001 - Chinese messages have these
    rf"|{_QUOTE}\s*+,?\s*+{_QUOTE}value{_QUOTE}\s*+[:=]\s*+|\s++(?={_QUOTE}))"
)
"""What stands between a key and its value; in `"name": "password", "value": "..."` as well."""
_RUN: Final = r"(?:\\\S?|\"(?![\s,;:}\])]|$)|[^\s\"\\])++"
"""Characters up to a space, or to a double quote that ends something."""
_PAIR: Final = re.compile(
    rf"(?P<key>{_WORD}{_SEPARATOR})(?:"
    r"(?P<open>(?P<slashes>\\*+)(?P<quote>[\"'`]))"
    r"(?:(?!(?<!\\)(?P=slashes)(?P=quote)(?!\w|(?P=quote))).)*+(?P<close>(?P=slashes)(?P=quote))?"
    rf"|[\[{{].*+|(?:(?:basic|bearer|digest|negotiate|token|[\w-]{{0,20}}hmac-[\w-]{{1,20}})\s++)?{_RUN})",
    re.IGNORECASE,
)
_ELEMENT: Final = re.compile(
    rf"(?P<key>{_WORD}(?:</\w{{1,20}}+>\s*+<\w{{1,20}}+>|>))(?=\S)[^<]*+(?:{HIDDEN})?", re.IGNORECASE
)
"""A secret in XML, Hadoop's `<name>password</name><value>...</value>` among it."""
_OPTION: Final = re.compile(rf"(?P<key>(?<!\S)--?[\w.-]{{0,40}}?{_WORD}\s++){_RUN}", re.IGNORECASE)
_BEARER: Final = re.compile(rf"(?P<key>bearer\s++){_RUN}", re.IGNORECASE)
_BLOCK: Final = re.compile(r"-----BEGIN[A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END[A-Z ]{0,40}-----|$)")
_KEY_IDS: Final = re.compile(
    r"LTAI[\w-]{4,}|STS\.\w{6,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|dapi[0-9a-f]{16,}|eyJ[\w.-]{16,}"
)
"""Access keys of Alibaba Cloud and AWS, keys of Google and Databricks, and JSON web tokens, by their first letters."""
_RUNS: Final = re.compile(_RUN)
_SECRET_KEY: Final = re.compile(_WORD + _SEPARATOR, re.IGNORECASE)


def masked(text: str) -> str:
    """Return `text` in one printable line, its secrets replaced by HIDDEN.

    Hidden are: what stands before the @ of a URL; values of keys that sound secret (password, token, accessKeyId, ...)
    as key=value, JSON, XML, command-line options or `name`/`value` pairs; Authorization values; private keys in PEM;
    and access keys and tokens that their first letters give away. Escape sequences and control characters are removed,
    line breaks become spaces. A secret in plain prose ("the password is x") is not found.

    Never raises; idempotent; linear time. The result may be longer than `text`: truncate afterwards, or half a secret
    could stay that its key no longer gives away.
    """
    text = _BLOCK.sub(HIDDEN, _one_line(text))
    text = _RUNS.sub(_hide_login_of_url, text)
    for pattern in (_PAIR, _ELEMENT, _OPTION, _BEARER):
        text = pattern.sub(_hide_value, text)
    text = _RUNS.sub(_hide_login, text)
    return _KEY_IDS.sub(HIDDEN, text)


def _one_line(text: str) -> str:
    """Return `text` without what a terminal acts on: a key must not hide from the patterns behind such a character."""
    if text.isprintable():
        return text
    text = _ESCAPE.sub("", text)
    return "".join(each if each.isprintable() else " " if each.isspace() else "" for each in text)


def _hide_value(match: re.Match[str]) -> str:
    parts = match.groupdict()
    return f"{parts['key']}{parts.get('open') or ''}{HIDDEN}{parts.get('close') or ''}"


def _hide_login_of_url(match: re.Match[str]) -> str:
    scheme, mark, rest = match[0].partition("://")
    login, at, host = rest.rpartition("@")
    if not at:
        return match[0]
    if "@" in scheme:  # user and password, in front of something that is no URL
        return HIDDEN
    # A password or a token behind the host can have an @ of its own: then no host can be told from it.
    return scheme + mark + (HIDDEN if _SECRET_KEY.search(login) else f"{HIDDEN}@{host}")


def _hide_login(match: re.Match[str]) -> str:
    """Hide user:password@ where no scheme stands before it."""
    login, at, host = match[0].rpartition("@")
    if not at or ":" not in login or "://" in login:
        return match[0]
    start = 1 + max(login.rfind(each, 0, login.index(":")) for each in "=&?;,([{<\"'`")
    return f"{login[:start]}{HIDDEN}@{host}"
