"""What stands in for the standard streams that whoever started the program has closed.

Else the next file or socket that is opened would get their number, and what writes to a stream would find none.
"""

import os
import sys
from typing import Final

_STREAMS: Final = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""In the order of their numbers. Output cannot be written, as is then said; complaints go nowhere."""


def stand_in() -> None:
    """Open the null device in the place of each stream that is closed."""
    for name, mode, access in _STREAMS:
        if getattr(sys, name) is None:
            number = os.open(os.devnull, access)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace"))
