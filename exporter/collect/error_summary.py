"""What went wrong in a refresh, in records that can be shown: a bounded number, some of each kind."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, islice, zip_longest
from typing import Final

from exporter.collect.snapshot import RefreshError
from exporter.errors import ExporterError, MmsError

MAX_TROUBLES: Final = 20
"""Of one collector, in one refresh."""
INTERNAL: Final = "internal"
"""The reason of what nobody foresaw."""


def summarized_errors(errors: Iterable[ExporterError]) -> tuple[RefreshError, ...]:
    """Return the errors as troubles, in turns from each reason, so that many of one hide none of another."""
    by_reason: dict[str, list[RefreshError]] = defaultdict(list)
    for error in errors:
        trouble = _trouble(error)
        by_reason[trouble.reason].append(trouble)
    in_turns = chain.from_iterable(zip_longest(*by_reason.values()))
    return tuple(islice((trouble for trouble in in_turns if trouble is not None), MAX_TROUBLES))


def _trouble(error: ExporterError) -> RefreshError:
    if isinstance(error, MmsError):
        return RefreshError(error.reason, error.about, str(error), error.hint)
    return RefreshError(
        INTERNAL, "", str(error), "look for the traceback in the log; this is probably a bug of the exporter"
    )
