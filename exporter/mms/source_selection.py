"""Which data sources the `sources` of an account select, and which of its settings select none. Pure."""

import re
from collections.abc import Sequence

from exporter.config.loading import Selection
from exporter.mms.models.names import MAX_COMPARED, name_list, near_names
from exporter.mms.models.records import DataSource


def is_selected(row: DataSource, selection: Selection) -> bool:
    """Return whether a data source is selected."""
    return selection.admits(row.name or "", row.type or "")


def selection_problems(selection: Selection, listed: Sequence[DataSource]) -> list[tuple[str, str]]:
    """Return problems and advice for the listed data sources."""
    types = sorted({row.type.upper() for row in listed if row.type})
    include = _unmatched("include", selection.include, listed)
    if include or any(is_selected(row, selection) for row in listed):
        return [*include, *_misspelled_types(selection, types)]
    names = [row.name or "" for row in listed]
    excludes = any(each.fullmatch(name) for each in selection.exclude for name in names)
    used = {"include": selection.include, "exclude": excludes, "types": selection.types}
    keys = [f"`{key}`" for key, is_used in used.items() if is_used]
    problem = f"`sources` selects none of the {len(listed):,} data sources"
    return [(problem, f"correct {name_list(keys, ' and ')} of `sources`; existing types: {name_list(types)}")]


def unmatched_excludes(selection: Selection, listed: Sequence[DataSource]) -> list[tuple[str, str]]:
    """Return problem and advice for an `exclude` without a match.

    It is no mistake: it can be a precaution, or be meant for another account.
    """
    return _unmatched("exclude", selection.exclude, listed)


def _unmatched(key: str, patterns: Sequence[re.Pattern[str]], listed: Sequence[DataSource]) -> list[tuple[str, str]]:
    names = sorted(row.name or "" for row in listed)
    unmatched = [each.pattern for each in patterns if not any(map(each.fullmatch, names))]
    if not unmatched:
        return []
    near = list(dict.fromkeys(name for pattern in unmatched for name in near_names(pattern, names[:MAX_COMPARED])))
    known = f"near names: {name_list(near)}" if near else f"existing names: {name_list(names)}"
    verb = "matches" if len(unmatched) == 1 else "match"
    problem = f"sources.{key} {name_list([repr(each) for each in unmatched])} {verb} no data source"
    return [(problem, f"a pattern is a regular expression that must match the whole name; {known}")]


def _misspelled_types(selection: Selection, types: Sequence[str]) -> list[tuple[str, str]]:
    # Another type that no data source has can be meant for later.
    near = {each: near_names(each, types) for each in selection.types if each.upper() not in types}
    return [
        (f"sources.types {each!r} matches no data source", f"did you mean {name_list(names, ' or ')}?")
        for each, names in near.items()
        if names
    ]
