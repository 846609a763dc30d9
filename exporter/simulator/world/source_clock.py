"""A source's own time: it stands still while the agent is out or the source is stalled.

Two maps in a row: pauses on command, which take seconds of the world to seconds of the story, and the outages of the
story, which take those to moments.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class SourceTime(NamedTuple):
    """One time, as a source sees it."""

    seconds: float
    """Of the world, since the story began."""
    moment: float


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing moves, again and again."""

    period: float
    """Seconds of the story from one outage's end to the next one's."""
    seconds: float
    """How long each lasts; it is the last part of its period."""

    @property
    def running(self) -> float:
        """Seconds of a period before the outage."""
        return self.period - self.seconds

    def place(self, story: float) -> tuple[int, float]:
        """Return the number of the period, and how much of its outage is over: below 0 before it begins."""
        cycle, rest = divmod(story, self.period)
        return int(cycle), (rest - self.running) / self.seconds

    def moment(self, story: float) -> float:
        """Return the moment at a second of the story."""
        cycle, rest = divmod(story, self.period)
        return cycle * self.running + min(rest, self.running)

    def story(self, moment: float) -> float:
        """Return the first second of the story that has this moment."""
        cycle, rest = divmod(moment, self.running)
        story = cycle * self.period + rest
        # The moment at which a period ends was there already when its outage began.
        return story if rest or not cycle else story - self.seconds


class _Pause(NamedTuple):
    begin: float
    end: float | None
    """None while it lasts."""


@dataclass(slots=True)
class SourcePace:
    """The map of one source, both ways."""

    outage: Outage | None = None
    _pauses: list[_Pause] = field(default_factory=list)
    _reasons: set[str] = field(default_factory=set)

    def hold(self, reason: str, seconds: float) -> None:
        """Stand still from `seconds` on, for one reason more."""
        if not self._reasons:
            self._pauses.append(_Pause(seconds, None))
        self._reasons.add(reason)

    def release(self, reason: str, seconds: float) -> None:
        """Take one reason back, and move on if it was the last."""
        if reason in self._reasons:
            self._reasons.remove(reason)
            if not self._reasons:
                self._pauses[-1] = self._pauses[-1]._replace(end=seconds)

    def holds(self, reason: str) -> bool:
        """Tell whether the source stands still for this reason."""
        return reason in self._reasons

    def story(self, seconds: float) -> float:
        """Return the second of the story at a second of the world; before the story, they are the same."""
        paused = 0.0
        for pause in self._pauses:
            if seconds > pause.begin:
                paused += (seconds if pause.end is None else min(seconds, pause.end)) - pause.begin
        return seconds - paused

    def moment(self, seconds: float) -> float:
        """Return the moment at a second of the world."""
        story = self.story(seconds)
        return story if self.outage is None or story < 0 else self.outage.moment(story)

    def at(self, seconds: float) -> SourceTime:
        """Return a second of the world as the source sees it."""
        return SourceTime(seconds, self.moment(seconds))

    def seconds(self, moment: float) -> float:
        """Return the first second of the world that has this moment."""
        seconds = moment if self.outage is None or moment < 0 else self.outage.story(moment)
        for pause in self._pauses:
            if seconds > pause.begin and pause.end is not None:
                seconds += pause.end - pause.begin
        return seconds
