"""How a name that a user gives matches objects of MMS. Pure; the same rules hold for every command."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from exporter.masking import printable

MAX_NEAR_NAMES = 5
MAX_WORSE = 0.15
"""How much less like the name than the best a suggestion may be, as a share of its letters."""
CLOSE_DIFFERENCE = 4
"""Letters that differ in a close match, counted in both names: two replaced letters."""
MAX_SUGGESTED = 20
"""Names that an error about an unknown or ambiguous name lists."""
MAX_COMPARED = 1000
"""Names among which near ones are looked for, as each takes about 0.1 ms."""
MAX_DIGITS = 19
"""Digits of the largest ID, a signed 64-bit integer."""


def table_id(text: str) -> int | None:
    """Return the ID, if the text consists of digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def table_names(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield the databases and tables that a text can mean.

    The whole text is a table of any database (None); at each dot, it is DATABASE.TABLE.
    """
    yield None, text
    parts = text.split(".")
    for at in range(1, len(parts)):
        database, table = ".".join(parts[:at]), ".".join(parts[at:])
        if database and table:
            yield database, table


def is_glob(text: str) -> bool:
    """Return whether the text has a character that is special in a glob."""
    return any(each in text for each in "*?[")


def matches(pattern: str, names: Iterable[str | None]) -> bool:
    """Return whether a name is the pattern, or matches it as a glob."""
    return any(name is not None and (name == pattern or fnmatchcase(name, pattern)) for name in names)


def ambiguous_name(kind: Literal["table", "job"], candidates: Sequence[tuple[str, int]]) -> str:
    """Return that several objects have a name; candidates are their full names and IDs."""
    names = ", ".join(f"{name} ({number})" for name, number in candidates[:MAX_SUGGESTED])
    more = ", ..." if len(candidates) > MAX_SUGGESTED else ""
    return f"several {kind}s have this name: {names}{more}; use {'DATABASE.TABLE or ' if kind == 'table' else ''}the ID"


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are like a misspelled one, best first."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), folded, MAX_NEAR_NAMES)
    ratios = {each: difflib.SequenceMatcher(None, each, name.casefold()).ratio() for each in close}
    # A replaced letter counts twice: it is missing in both names.
    differences = {each: round((len(each) + len(name)) * (1 - ratio)) for each, ratio in ratios.items()}
    least = min(differences.values(), default=None)
    if least is not None and least <= CLOSE_DIFFERENCE:
        return [folded[each] for each in close if differences[each] <= least + 1]
    # Names of one database have a beginning in common, so all of them are somewhat like each other.
    close = [each for each in close if ratios[each] >= ratios[close[0]] - MAX_WORSE]
    close += [each for each in folded if name and name.casefold() in each and each not in close]
    return [folded[each] for each in close[:MAX_NEAR_NAMES]]


def name_list(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first names, and how many more there are."""
    if not names:
        return "none"
    more = f" and {len(names) - MAX_SUGGESTED:,} more" if len(names) > MAX_SUGGESTED else ""
    return f"{separator.join(map(printable, names[:MAX_SUGGESTED]))}{more}"


def unknown_name(noun: str, name: str, known: Iterable[str | None], where: str = "") -> str:
    """Return that a name is unknown, with the near or known names."""
    names = sorted({each for each in known if each})
    is_id = table_id(name) is not None
    near = [] if is_id or is_glob(name) else near_names(name, names)
    verb = "matches" if is_glob(name) else "has the name or ID" if is_id else "is named"
    kinds = f"{noun.partition(' with ')[0]}s"
    advice = f"did you mean {name_list(near, ' or ')}?" if near else f"known {kinds}: {name_list(names)}"
    return f"no {noun} {verb} {name!r}{where}; {advice}"
