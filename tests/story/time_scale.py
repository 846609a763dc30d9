"""The shipped rules and routes, accelerated: every duration is divided by one factor and nothing else changes.

`for`, ranges, offsets and thresholds that are durations shrink together and keep their proportions. On a machine under
load a scrape or an evaluation can be seconds late, so the factor is smaller there.
"""

import re
import time
from collections.abc import Callable
from typing import Any, Final

import yaml


def _slowdown() -> float:
    """Return by how much the story is slower than 120 times the rules."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while (used := time.thread_time() - cpu) < 0.2:
        pass
    # Load can rise later, when other tests run at the same time: at least 2.
    return max(2.0, (time.perf_counter() - wall) / used)


SLOWDOWN: Final = _slowdown()
FACTOR: Final = int(120 / SLOWDOWN)
"""On an idle machine 1 hour of the rules takes 1 minute, and their slack of 3 minutes is 6 scrapes within 3 seconds."""

WAITS: Final = {"for", "keep_firing_for"}
_NAME_OR_DURATION: Final = re.compile(r"[a-zA-Z_][\w:]*|(?P<duration>(?:\d+(?:ms|[smhdwy]))+)\b")
_PART: Final = re.compile(r"(\d+)(ms|[smhdwy])")
_STRING: Final = re.compile(r'("(?:[^"\\]|\\.)*")')
_MILLISECONDS: Final = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
    "y": 365 * 86_400_000,
}


def stretched(seconds: float) -> str:
    """Return a duration stretched for the load of this machine."""
    return f"{seconds * SLOWDOWN * 1000:.0f}ms"


def shorter(duration: str, factor: int = FACTOR) -> str:
    """Divide a duration by `factor`, rounded up to milliseconds.

    Raises: ValueError if the duration does not exceed `factor` milliseconds.
    """
    milliseconds = sum(int(amount) * _MILLISECONDS[unit] for amount, unit in _PART.findall(duration))
    length = -(-milliseconds // factor)
    if milliseconds < factor:
        raise ValueError(f"{duration} divided by {factor} is less than a millisecond")
    return f"{length}ms"


def each_duration(query: str, change: Callable[[str], str]) -> str:
    """Replace durations of a query, outside of quotes and names."""

    def changed(found: re.Match[str]) -> str:
        return change(found[0]) if found["duration"] else found[0]

    parts = _STRING.split(query)
    parts[::2] = [_NAME_OR_DURATION.sub(changed, part) for part in parts[::2]]
    return "".join(parts)


def accelerated_rules(
    text: str, thresholds: dict[str, float] | None = None, factor: int = FACTOR, day_factor: int = 1
) -> str:
    """Return an accelerated rule file.

    `thresholds` have their own values by name. `day_factor` shortens a `for` of days further.
    """
    loaded: dict[str, Any] = yaml.safe_load(text)
    for group in loaded["groups"]:
        for rule in group["rules"]:
            rule["expr"] = each_duration(rule["expr"], lambda length: shorter(length, factor))
            for wait in WAITS & rule.keys():
                rule[wait] = shorter(rule[wait], factor * day_factor if rule[wait].endswith("d") else factor)
            name = rule.get("record", "")
            if name in (thresholds or {}):
                rule["expr"] = f"vector({(thresholds or {})[name]:g})"
            elif name.startswith("mms:threshold:") and name.endswith(":seconds"):
                rule["expr"] = f"{rule['expr']} / {factor}"
    return yaml.safe_dump(loaded, sort_keys=False, width=200)


def accelerated_routes(text: str, receiver_url: str) -> str:
    """Return Alertmanager's configuration with short waits and `receiver_url`."""
    loaded: dict[str, Any] = yaml.safe_load(text)
    # Longer than an evaluation, relatively longer than shipped: a cause must fire before its consequences.
    loaded["route"] |= {"group_wait": stretched(1), "group_interval": stretched(0.5)}
    for receiver in loaded["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"{receiver_url}/{hook['url'].rsplit('/', 1)[1]}"
    return yaml.safe_dump(loaded, sort_keys=False, width=200)
