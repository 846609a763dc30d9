"""Replace names, hosts, paths, SQL and parameters in messages. Pure.

A table `orders_timeout` says nothing about the cause of a failure. All repetitions are bounded, so that the time
is linear.
"""

import re
from typing import Final

CODE: Final = r"(?i:code|reason|status)[\"'\\\]]{0,4}\s?[=:]\s?[\"'\\\[]{0,4}(?!(?i:odps)-)"
"""A key and its separator, before the code that is its value."""
_KEPT: Final = (
    r"[\"']?(?i:odps)-\d{7}",
    rf"[\"'\[]?\b\w{{0,40}}{CODE}[A-Za-z]\w{{1,60}}(?:\.[A-Z]\w{{0,60}}){{0,3}}(?!\w|\.\w)",
    r"\b\w{0,40}(?i:message|msg|exception|error|cause|details?|description)=",
    # Classes of Java.
    r"(?<![\w.])(?:com|org|net|io|java|javax|sun|software)(?:\.[a-z]\w{0,60}){0,15}\.[A-Z][\w$]{0,200}",
    r"(?<![\w.])(?:[A-Za-z]\w{0,60}\.){1,10}[A-Z]\w{0,100}(?:Exception|Error|Failed)\b",
    # Codes such as Forbidden.RAM, and sentences without a space between them.
    r"(?<![\w.])[A-Z][a-z]\w{0,60}(?:\.[A-Z]\w{0,60}){1,3}(?!\w|\.\w)",
    r"(?<![\w.])[a-z]{1,60}\.[A-Z][a-z]{0,60}(?!\w|\.\w)",
    r"\b(?i:metric) '[^'\n]{0,80}'",
    r"\b(?:permission_denied|internal_error|deadline_exceeded|out_of_range|heartbeat_timeout)\b",
)
"""What looks like a name but tells the cause."""
_NOUNS: Final = ("table", "column", "field", "partition", "database", "schema", "project", "dataset", "user")
_AFTER_NOUN: Final = "|".join(f"(?<={noun} )" for word in _NOUNS for noun in (word, word.title(), word.upper()))
_VERBS: Final = "cannot|could|was|is|does|not found|already exists"
_ITEM: Final = r"[\w.`\"'()*]{1,200}"
_TYPES: Final = "string|bigint|int|smallint|tinyint|double|float|decimal|boolean|date|datetime|timestamp|varchar|char"
_NAMES: Final = (
    r"(?<!\w)[A-Za-z][\w+.:-]{1,30}://[^\s,\"'<>)\]}]{1,2000}",
    rf"(?i:\bselect\s{{1,5}}{_ITEM}(?:\s?,\s?{_ITEM}|\sas\s\w{{1,100}}){{0,200}}\s{{1,5}}from\s)",
    rf"(?i:\binsert\s(?:into|overwrite)\s(?:table\s)?{_ITEM}\s?\([\w`,\s]{{1,2000}}\)\s?(?:values|select))",
    r"(?i:\b(?:where|and|or|on)\s[\w.`]{1,200}\s?(?:[=<>!]|like\b|between\b|in\s?\(|is\s(?:not\s)?null))",
    rf"(?i:[(,]\s?[\w`]{{1,100}}\s(?:{_TYPES})\s?(?=[,()]))",
    r"`[^`\n]{1,200}`",
    r"(?<!\w)(?P<quote>[\"'])[^\"'\s]{1,200}(?P=quote)",
    r"\[[\w.]{1,100}(?:,\s?[\w.]{1,100}){1,20}\]",
    r"\{acs:[^}\n]{0,300}\}",
    r"(?<=UnknownHostException: )[\w.-]{1,200}",
    r"(?<![\w/])/[\w.@%+~-][\w.=%@+~/-]{0,1000}",
    r"(?<![\w.])[A-Za-z_][\w.-]{0,100}=(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'|[^\s,;&)\]}]{1,300})",
    r"(?<![\w.$])[A-Za-z_][\w-]{0,100}(?:\.\w[\w-]{0,100}){1,10}",
    r"(?<![\w$])(?=[A-Z0-9_]{0,60}[a-z])\w{1,60}_\w{0,100}",
    r"(?<![\w-])(?=[A-Za-z_-]{0,60}\d)[A-Za-z]\w{0,60}(?:-\w{1,60}){1,10}",
    rf"(?:{_AFTER_NOUN})(?:[A-Z0-9]{{1,60}}_\w{{1,100}}|[\w-]{{1,60}}:[a-z_][\w.]{{0,100}})",
    rf"(?:{_AFTER_NOUN})\w{{1,100}}(?= (?:{_VERBS})\b)",
)
_PATTERN: Final = re.compile(f"(?P<kept>{'|'.join(_KEPT)})|{'|'.join(_NAMES)}", re.ASCII)


def without_names(text: str) -> str:
    """Replace names and values by an asterisk."""
    return _PATTERN.sub(lambda match: match["kept"] or "*", text)
