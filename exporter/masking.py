"""Make foreign text safe to print: control characters escaped, secrets masked. Pure.

`masked` is for free text. `printable` is for names and IDs, because people copy them. Masking prefers false positives.
The patterns are possessive or have bounded lookahead, so that the time is linear.
"""

import re
from typing import Final


def printable(text: str) -> str:
    """Escape control characters, line breaks and bidirectional overrides."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


HIDDEN: Final = "<hidden>"
"""Replacement for a secret."""

# ESC [ ... letter sets colours, ESC ] ... BEL sets the terminal title. The bound limits an unterminated sequence.
_ESCAPE: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)")
_WORD: Final = (
    r"(?:passw(?:or)?d|passphrase|passcode|pass(?![a-z])|pwd|secret|token|credential|cookie|authorization|signature"
    r"|(?:access|api|private|account|shared|encryption|storage)[_.-]?key|external[_.-]?id|identified\s+by|密码|口令"
    r"|(?<![a-z])(?:sig|sas|auth|ak|sk)(?![a-z]))(?:[\w.]|-(?!>)){0,40}+"
)
"""The part of a key that marks its value as secret, with the rest of the key."""
_QUOTE: Final = r"\\*+[\"'`]"
_SEPARATOR: Final = (
    rf"(?:(?:{_QUOTE})?\]?\s*+(?:[:=：＝]|%3[ad]|->|>(?=\s))[=>]?\s*+"  # noqa: RUF001 - used in Chinese messages
    rf"|{_QUOTE}\s*+,?\s*+{_QUOTE}value{_QUOTE}\s*+[:=]\s*+|\s++(?={_QUOTE}))"
)
"""Separator of key and value, also in `"name": "password", "value": "..."`."""
_RUN: Final = r"(?:\\\S?|\"(?![\s,;:}\])]|$)|[^\s\"\\])++"
"""Characters up to a space or a closing double quote."""
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
"""A secret in XML, also as Hadoop's `<name>password</name><value>...</value>`."""
_OPTION: Final = re.compile(rf"(?P<key>(?<!\S)--?[\w.-]{{0,40}}?{_WORD}\s++){_RUN}", re.IGNORECASE)
_BEARER: Final = re.compile(rf"(?P<key>bearer\s++){_RUN}", re.IGNORECASE)
_BLOCK: Final = re.compile(r"-----BEGIN[A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END[A-Z ]{0,40}-----|$)")
_KEY_IDS: Final = re.compile(
    r"LTAI[\w-]{4,}|STS\.\w{6,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|dapi[0-9a-f]{16,}|eyJ[\w.-]{16,}"
)
"""Access keys of Alibaba Cloud and AWS, keys of Google and Databricks, and JSON web tokens, by prefix."""
_RUNS: Final = re.compile(_RUN)
_SECRET_KEY: Final = re.compile(_WORD + _SEPARATOR, re.IGNORECASE)


def masked(text: str) -> str:
    """Return `text` as one printable line with secrets replaced.

    Replaces: user info of URLs; values of secret keys (password, token, accessKeyId, ...) as key=value, JSON, XML,
    command-line options or `name`/`value` pairs; Authorization values; private keys in PEM; access keys and tokens with
    a known prefix. Removes escape sequences and control characters; line breaks become spaces. Does not find a secret
    in plain prose ("the password is x").

    Never raises; idempotent; linear time. Truncate only the result: without its key, half a secret is not recognised.
    """
    text = _BLOCK.sub(HIDDEN, _one_line(text))
    text = _RUNS.sub(_hide_user_info_of_url, text)
    for pattern in (_PAIR, _ELEMENT, _OPTION, _BEARER):
        text = pattern.sub(_hide_value, text)
    text = _RUNS.sub(_hide_user_info, text)
    return _KEY_IDS.sub(HIDDEN, text)


def _one_line(text: str) -> str:
    # Control characters inside a key would hide it from the patterns.
    if text.isprintable():
        return text
    text = _ESCAPE.sub("", text)
    return "".join(each if each.isprintable() else " " if each.isspace() else "" for each in text)


def _hide_value(match: re.Match[str]) -> str:
    parts = match.groupdict()
    return f"{parts['key']}{parts.get('open') or ''}{HIDDEN}{parts.get('close') or ''}"


def _hide_user_info_of_url(match: re.Match[str]) -> str:
    scheme, mark, rest = match[0].partition("://")
    login, at, host = rest.rpartition("@")
    if not at:
        return match[0]
    if "@" in scheme:  # user and password before something that is not a URL
        return HIDDEN
    # A password or token after the host may contain an @. The host is then unknown.
    return scheme + mark + (HIDDEN if _SECRET_KEY.search(login) else f"{HIDDEN}@{host}")


def _hide_user_info(match: re.Match[str]) -> str:
    # Hides user:password@ without a scheme.
    login, at, host = match[0].rpartition("@")
    if not at or ":" not in login or "://" in login:
        return match[0]
    start = 1 + max(login.rfind(each, 0, login.index(":")) for each in "=&?;,([{<\"'`")
    return f"{login[:start]}{HIDDEN}@{host}"
