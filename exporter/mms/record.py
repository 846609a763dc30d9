"""The form of all records: what they do to the texts of an answer. Knows no record by name."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

from msgspec import Struct
from msgspec.structs import fields, force_setattr


class Record(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One object of an answer. The garbage collector need not look at it: it is made of values, and is in no cycle."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that the API may leave out without anything being wrong."""

    def __post_init__(self) -> None:
        """Strip every text, since the vendor's examples carry trailing newlines; an empty one is as good as none."""
        known = _text_fields(type(self))
        texts = known.texts_of(self)
        present = [*filter(None, texts)]
        if "" in texts or [*map(str.strip, present)] != present:
            self._strip(known.plain)
        self._strip(known.others)

    def _strip(self, names: tuple[str, ...]) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, str):
                text = value.strip()
                if text is not value or not text:
                    force_setattr(self, name, text or None)
            elif isinstance(value, tuple) and value and isinstance(value[0], str):
                force_setattr(self, name, tuple(map(str.strip, value)))


class _TextFields(NamedTuple):
    plain: tuple[str, ...]
    """Those that are a text or None."""
    texts_of: Callable[[object], tuple[str | None, ...]]
    """Reads all of them at once: there are a hundred rows on a page, and mostly nothing to strip."""
    others: tuple[str, ...]
    """Those that are, or hold, a text among other things."""


@cache
def _text_fields(kind: type[Record]) -> _TextFields:
    plain = tuple(field.name for field in fields(kind) if field.type == str | None)
    types = {field.name: repr(field.type) for field in fields(kind) if field.name not in plain}
    others = tuple(name for name, type_ in types.items() if "str" in type_ and "dict" not in type_)
    return _TextFields(plain, reader_of(plain), others)


def reader_of(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return what reads the attributes `names` of an object, all at once."""
    if len(names) < 2:  # noqa: PLR2004 - of one name, attrgetter makes no tuple
        return lambda record: tuple(getattr(record, name) for name in names)
    return attrgetter(*names)
