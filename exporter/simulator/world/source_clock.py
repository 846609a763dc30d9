"""A source's time, which stops while its agent is offline or the source is stalled.

World seconds minus pauses by events are story seconds; story seconds minus planned outages are moments.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class SourceTime(NamedTuple):
    """One time in world seconds and in moments."""

    seconds: float
    """World seconds since the start."""
    moment: float


@dataclass(frozen=True, slots=True)
class Outage:
    """A periodic time without progress."""

    period: float
    """Story seconds from the end of one outage to the end of the next."""
    seconds: float
    """Duration; the outage is the last part of its period."""

    @property
    def running(self) -> float:
        """Seconds of a period before its outage."""
        return self.period - self.seconds

    def place(self, story: float) -> tuple[int, float]:
        """Return the period's number and its outage's elapsed share.

        The share is negative before the outage.
        """
        cycle, rest = divmod(story, self.period)
        return int(cycle), (rest - self.running) / self.seconds

    def moment(self, story: float) -> float:
        """Return the moment at a story second."""
        cycle, rest = divmod(story, self.period)
        return cycle * self.running + min(rest, self.running)

    def story(self, moment: float) -> float:
        """Return the first story second of a moment."""
        cycle, rest = divmod(moment, self.running)
        story = cycle * self.period + rest
        # A period ends at the moment at which its outage began.
        return story if rest or not cycle else story - self.seconds


class _Pause(NamedTuple):
    begin: float
    end: float | None
    """None while the pause lasts."""


@dataclass(slots=True)
class SourceClock:
    """Converts between world seconds and moments of one source."""

    outage: Outage | None = None
    _pauses: list[_Pause] = field(default_factory=list)
    _reasons: set[str] = field(default_factory=set)

    def pause(self, reason: str, seconds: float) -> None:
        """Pause from `seconds` on for a reason."""
        if not self._reasons:
            self._pauses.append(_Pause(seconds, None))
        self._reasons.add(reason)

    def resume(self, reason: str, seconds: float) -> None:
        """Drop a reason, and continue if it was the last."""
        if reason in self._reasons:
            self._reasons.remove(reason)
            if not self._reasons:
                self._pauses[-1] = self._pauses[-1]._replace(end=seconds)

    def is_paused_for(self, reason: str) -> bool:
        """Return whether the source is paused for this reason."""
        return reason in self._reasons

    def story(self, seconds: float) -> float:
        """Return the story second, unchanged before the start."""
        paused = 0.0
        for pause in self._pauses:
            if seconds > pause.begin:
                paused += (seconds if pause.end is None else min(seconds, pause.end)) - pause.begin
        return seconds - paused

    def moment(self, seconds: float) -> float:
        """Return the moment at a world second."""
        story = self.story(seconds)
        return story if self.outage is None or story < 0 else self.outage.moment(story)

    def at(self, seconds: float) -> SourceTime:
        """Return a world second as the source sees it."""
        return SourceTime(seconds, self.moment(seconds))

    def seconds(self, moment: float) -> float:
        """Return the first world second of a moment."""
        seconds = moment if self.outage is None or moment < 0 else self.outage.story(moment)
        for pause in self._pauses:
            if seconds > pause.begin and pause.end is not None:
                seconds += pause.end - pause.begin
        return seconds
