"""What queries have in common: what is selected, how replicas count once, and zeros that are honest.

Two exporters that read one account serve the same series twice: every figure is taken as `max by` its identity
before it is added up. A count of bad things is `sum(... bool ...)`: 0 where there are things and none is bad, and
nothing where nothing could be asked.
"""

from typing import Final

from grafana.builder.meaning import State

SOURCE: Final = "account, source_id, source"
"""What a data source is known by. A renamed source keeps its id."""
JOB: Final = f"{SOURCE}, job_id, job_name"
SHOWN_AT_MOST: Final = 20
"""Lines or bars of one panel that a person can still tell apart."""

_RULE_JOB: Final = 'job=~"$job"'
_PROCESS: Final = f'{_RULE_JOB}, instance=~"$instance"'
_ACCOUNT: Final = 'account=~"$account"'
_SOURCE: Final = f'{_ACCOUNT}, source=~"$source"'


def _selector(metric: str, *matchers: str) -> str:
    return f"{metric}{{{', '.join(matcher for matcher in matchers if matcher)}}}"


def process(metric: str, *matchers: str) -> str:
    """Return the series of the chosen exporters themselves."""
    return _selector(metric, _PROCESS, *matchers)


def account(metric: str, *matchers: str) -> str:
    """Return the series of the chosen accounts."""
    return _selector(metric, _PROCESS, _ACCOUNT, *matchers)


def source(metric: str, *matchers: str) -> str:
    """Return the series of the chosen data sources."""
    return _selector(metric, _PROCESS, _SOURCE, *matchers)


def recorded(metric: str, *matchers: str) -> str:
    """Return a recorded series of the chosen data sources; rules count replicas once, so it has no `instance`."""
    return _selector(metric, _RULE_JOB, _SOURCE, *matchers)


def alerts(metric: str, *matchers: str) -> str:
    """Return the alerts of this exporter; those that concern no account or source are always among them."""
    return _selector(metric, 'alertname=~"Mms.+"', 'account=~"$account|"', 'source=~"$source|"', *matchers)


def firing_since(*matchers: str) -> str:
    """Return when the cause of each firing alert began, in Unix seconds."""
    firing = alerts("ALERTS", equals("alertstate", "firing"), *matchers)
    return f"{alerts('ALERTS_FOR_STATE', *matchers)} and ignoring (alertstate) {firing}"


def by_source(selected: str, *labels: str) -> str:
    """One figure for each data source, whoever serves it."""
    return f"max by ({', '.join((SOURCE, *labels))}) ({selected})"


def by_job(selected: str, *labels: str) -> str:
    """One figure for each job, whoever serves it."""
    return f"max by ({', '.join((JOB, *labels))}) ({selected})"


def total(selected: str) -> str:
    """Return a figure of the data sources, added up."""
    return f"sum({by_source(selected)})"


def age(timestamps: str) -> str:
    """Seconds since the timestamps."""
    return f"time() - {timestamps}"


def equals(label: str, value: str) -> str:
    """Return a matcher."""
    return f'{label}="{value}"'


def coded(metric: str, known: tuple[State, ...], *matchers: str, labels: str = SOURCE) -> str:
    """Return a status as one number: its place in `known`, or the number of those for any other."""

    def active(status: str) -> str:
        return f"max by ({labels}) ({source(metric, status, *matchers)} == 1)"

    unknown = "|".join(state.status for state in known)
    codes = [active(equals("status", state.status)) for state in known] + [active(f'status!~"{unknown}"')]
    return " or ".join(f"{code} * {chosen}" for code, chosen in enumerate(codes))


def at_the_end(selected: str, gathered: str = "{}") -> str:
    """Return the last figures of the time shown, at every point of it; `gathered` is what is made of the series."""
    # What was there before stands in for what is gone by the end, or where the end is in the future. In steps, because
    # of many sources over many days a plain range would hold every sample at once.
    then = gathered.format(f"{selected} @ end()")
    before = f"({gathered.format(selected)})[$__range:$__interval] @ end()"
    return f"({then} or last_over_time({before}))"


def most_left(figure: str) -> str:
    """Return the sources of `figure` that have most left at the end: a panel of thousands of lines shows nothing."""
    left = by_source(at_the_end(recorded("mms:source:work_left:sum")))
    listed = by_source(at_the_end(source("mms_datasource_info")))
    known = f"{left} or on ({SOURCE}) 0 * {listed}"
    return f"({figure}) and on ({SOURCE}) topk({SHOWN_AT_MOST}, {known})"


DONE: Final = f"sum({recorded('mms:source:overall_done:sum')})"
TOTAL: Final = f"sum({recorded('mms:source:overall_total:sum')})"
_LEFT: Final = recorded("mms:source:overall_left:sum")
_PACE: Final = recorded("mms:source:overall_done_per_hour:deriv1h")
LEFT: Final = f"sum({_LEFT})"
PACE: Final = f"sum({_PACE})"
"""Tables and partitions an hour."""

PROGRESS: Final = f"{DONE} / ({TOTAL} > 0)"
TIME_LEFT: Final = f"3600 * ({LEFT} > 0) / {PACE} or {LEFT} == 0"
"""Seconds: 0 where nothing is left, +Inf where nothing was done within the hour."""
DONE_AT: Final = f"1000 * (time() + 3600 * ({LEFT} > 0) / {PACE}) or {LEFT} == 0"
"""Unix milliseconds, and likewise."""

STALE_SOURCES: Final = (
    f"sum({recorded('mms:source:last_success_age:seconds')}"
    " > bool on () group_left () mms:threshold:last_success_age:seconds)"
)
FAILURE_RATIO: Final = (
    f"sum({recorded('mms:source:failed:sum')} and {recorded('mms:source:ended:sum')})"
    f" / (sum({recorded('mms:source:ended:sum')}) > 0) or 0 * sum({recorded('mms:source:ended:sum')})"
)
AGENTS_OFFLINE: Final = f"sum({by_source(source('mms_datasource_agent_online'))} == bool 0)"
FIRING: Final = f"count({alerts('ALERTS', equals('alertstate', 'firing'))}) or 0 * mms:threshold:failed:ratio"
"""0 only where the rules are loaded: they record the thresholds."""


def forecast() -> str:
    """Return what is left at the pace of the last hour: over that hour, and on where the future is shown."""
    last = f"(max(timestamp({_LEFT} @ end())) or max_over_time(timestamp({LEFT})[$__range:$__interval] @ end()))"
    since = f"(time() - {last})"
    left, pace = at_the_end(_LEFT, "sum({})"), at_the_end(_PACE, "sum({})")
    shown = f"({since} >= 0 or ({since} > -3600 and {LEFT}))"
    return f"clamp_min({left} - {pace} * {since} / 3600, 0) and {shown}"


def failed(kind: str) -> str:
    """Failed tables or partitions of all chosen sources."""
    return f"sum({recorded('mms:source:objects:max', equals('kind', kind), equals('status', 'FAILED'))})"
