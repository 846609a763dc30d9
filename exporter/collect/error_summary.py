"""Summarizes the errors of a refresh: a bounded number, with some of each reason."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, islice, zip_longest
from typing import Final

from exporter.collect.snapshot import RefreshError
from exporter.errors import ExporterError, MmsError

MAX_ERRORS_PER_COLLECTOR: Final = 20
"""Limit per refresh."""
INTERNAL: Final = "internal"
"""Reason of unexpected errors."""


def summarized_errors(errors: Iterable[ExporterError]) -> tuple[RefreshError, ...]:
    """Return the first errors, round-robin over the reasons."""
    by_reason: dict[str, list[RefreshError]] = defaultdict(list)
    for error in map(_refresh_error, errors):
        by_reason[error.reason].append(error)
    interleaved = chain.from_iterable(zip_longest(*by_reason.values()))
    return tuple(islice((error for error in interleaved if error is not None), MAX_ERRORS_PER_COLLECTOR))


def _refresh_error(error: ExporterError) -> RefreshError:
    if isinstance(error, MmsError):
        return RefreshError(error.reason, error.about, str(error), error.hint)
    return RefreshError(
        INTERNAL, "", str(error), "look for the traceback in the log; this is probably a bug of the exporter"
    )
