"""Common parts of queries: selectors, deduplication of replicas, and zeros.

Two exporters of one account serve the same series, so every value is `max by` its identity before it is summed. A count
of bad objects is `sum(... bool ...)`: 0 if there are objects and none is bad, and no data if nothing could be read.
"""

from typing import Final

from grafana.builder import palette
from grafana.builder.palette import State

SOURCE: Final = "account, source_id, source"
"""Identity of a data source. A renamed source keeps its id."""
JOB: Final = f"{SOURCE}, job_id, job_name"
SHOWN_AT_MOST: Final = 20
"""Largest number of distinguishable lines or bars in a panel."""

RULE_JOB: Final = 'job=~"$job"'
PROCESS: Final = f'{RULE_JOB}, instance=~"$instance"'
"""Matchers of the dashboard of the exporter; the others have no such variables."""
_ACCOUNT: Final = 'account=~"$account"'
_SOURCE: Final = f'{_ACCOUNT}, source=~"$source"'


def _selector(metric: str, *matchers: str) -> str:
    return f"{metric}{{{', '.join(matcher for matcher in matchers if matcher)}}}"


def process(metric: str, *matchers: str) -> str:
    """Select series of the chosen exporters themselves."""
    return _selector(metric, PROCESS, *matchers)


def account(metric: str, *matchers: str) -> str:
    """Select series of the chosen accounts."""
    return _selector(metric, _ACCOUNT, *matchers)


def source(metric: str, *matchers: str) -> str:
    """Select series of the chosen data sources."""
    return _selector(metric, _SOURCE, *matchers)


def alerts(metric: str, *matchers: str) -> str:
    """Select alerts, including those without account or source."""
    return _selector(metric, 'alertname=~"Mms.+"', 'account=~"$account|"', 'source=~"$source|"', *matchers)


def firing_since(*matchers: str) -> str:
    """Return the start of each firing alert in Unix seconds."""
    firing = alerts("ALERTS", equals("alertstate", "firing"), *matchers)
    return f"{alerts('ALERTS_FOR_STATE', *matchers)} and ignoring (alertstate) {firing}"


def by_source(selected: str, *labels: str) -> str:
    """Return one value per data source, deduplicated."""
    return f"max by ({', '.join((SOURCE, *labels))}) ({selected})"


def by_job(selected: str, *labels: str) -> str:
    """Return one value per job, deduplicated."""
    return f"max by ({', '.join((JOB, *labels))}) ({selected})"


def total(selected: str) -> str:
    """Sum over the data sources."""
    return f"sum({by_source(selected)})"


def age(timestamps: str) -> str:
    """Return seconds since the timestamps; 0 if the other clock is ahead."""
    return f"clamp_min(time() - {timestamps}, 0)"


def moment(timestamps: str) -> str:
    """Return the timestamps in milliseconds, at most now."""
    return f"1000 * clamp_max({timestamps}, time())"


def absent(selected: str) -> str:
    """Return 1 without labels if nothing is selected."""
    return f"absent(max({selected}))"


def never(selected: str) -> str:
    """Return 1 without labels if nothing is selected in the time range."""
    return f"absent(last_over_time(max({selected})[$__range:$__interval] @ end()))"


def otherwise(selected: str, known: str, label: str, text: str, unknown: str = "No data") -> str:
    """Return a row that says in `label` why `selected` has none."""
    empty = f'label_replace({absent(selected)} and on () max({known}), "{label}", "{text}", "", "")'
    return f'{empty} or label_replace({absent(known)}, "{label}", "{unknown}", "", "")'


def none_listed(selected: str, count: str, label: str, text: str, unlisted: str) -> str:
    """Return a row that says in `label` whether there are none, or some that are not listed."""
    empty = {f"on () ({count} == 0)": text, f"on () ({count} > 0)": unlisted, f"on () {absent(count)}": "No data"}
    return " or ".join(
        f'label_replace({absent(selected)} and {reason}, "{label}", "{said}", "", "")' for reason, said in empty.items()
    )


def equals(label: str, value: str) -> str:
    """Return a matcher."""
    return f'{label}="{value}"'


def coded(metric: str, known: tuple[State, ...], *matchers: str, labels: str = SOURCE) -> str:
    """Encode a status as its index in `known`.

    Any other status is the number of known ones.
    """

    def active(status: str) -> str:
        return f"max by ({labels}) ({source(metric, status, *matchers)} == 1)"

    unknown = "|".join(state.status for state in known)
    codes = [active(equals("status", state.status)) for state in known] + [active(f'status!~"{unknown}"')]
    return " or ".join(f"{code} * {chosen}" for code, chosen in enumerate(codes))


def at_the_end(figure: str, *selected: str) -> str:
    """Return the last values of the time range at every point.

    `figure` is a format string with a placeholder for each selector.
    """
    # An earlier value replaces one that is missing at the end, or if the end is in the future. A subquery with a step,
    # because over many sources and days a plain range would load every sample.
    then = figure.format(*(f"{each} @ end()" for each in selected))
    before = f"({figure.format(*selected)})[$__range:$__interval] @ end()"
    return f"({then} or last_over_time({before}))"


def most_left(figure: str) -> str:
    """Limit `figure` to the sources with most work left."""
    left = by_source(at_the_end("{}", source("mms:source:work_left:sum")))
    listed = by_source(at_the_end("{}", source("mms_datasource_info")))
    known = f"{left} or on ({SOURCE}) 0 * {listed}"
    return f"({figure}) and on ({SOURCE}) topk({SHOWN_AT_MOST}, {known})"


DONE: Final = f"sum({source('mms:source:overall_done:sum')})"
TOTAL: Final = f"sum({source('mms:source:overall_total:sum')})"
_LEFT: Final = source("mms:source:overall_left:sum")
_PACE: Final = source("mms:source:overall_done_per_hour:deriv1h")
_HALTED: Final = source("mms:source:halted:max")
LEFT: Final = f"sum({_LEFT})"

PROGRESS: Final = f"{DONE} / ({TOTAL} > 0)"


BEST: Final = "_best"
EXPECTED: Final = ""
WORST: Final = "_worst"
"""The bounds of the forecast, as the names of their series say them."""


_HAS_END: Final = f"< {palette.GROWING_SECONDS:g}"


def _forecast_left(bound: str) -> str:
    return source(f"mms:source:time_left{bound}:seconds")


def time_left(bound: str = EXPECTED) -> str:
    """Return the seconds that each source needs: 0 if nothing is left.

    Of those without an end: +Inf if halted or without progress, GROWING_SECONDS if no more was done than arrived.
    """
    left = by_source(_forecast_left(bound))
    is_active = f"({by_source(_PACE)} > bool 0)"
    halted = f"{left} and on ({SOURCE}) {_HALTED}"
    return f"({left} {_HAS_END} or {halted} or clamp_max({left}, {palette.GROWING_SECONDS:g}) / {is_active})"


TIME_LEFT: Final = f"max({time_left()})"
"""Of the slowest source."""


def hours_left(bound: str) -> str:
    """Return the hours of the slowest source; nothing if it has no end, which no graph can show."""
    return f"(max({_forecast_left(bound)}) {_HAS_END}) / 3600"


def _finishes(bound: str, name: str) -> str:
    """Return when the last source finishes, in milliseconds."""
    return f'label_replace(1000 * (time() + (max({time_left(bound)}) > 0)), "source", "{name}", "", "")'


DONE_NOT_BEFORE: Final = _finishes(BEST, "Between:")
_ALL_DONE: Final = f'label_replace({TIME_LEFT} == 0, "source", "All sources:", "", "")'
DONE_NOT_AFTER: Final = f"{_finishes(WORST, 'and:')} or {_ALL_DONE}"
"""With the special cases of the time remaining."""

FAILURE_RATIO: Final = (
    f"sum({source('mms:source:failed:sum')} and {source('mms:source:ended:sum')})"
    f" / (sum({source('mms:source:ended:sum')}) > 0) or 0 * sum({source('mms:source:ended:sum')})"
)
AGENTS_OFFLINE: Final = f"sum({by_source(source('mms_datasource_agent_online'))} == bool 0)"
FIRING: Final = f"count({alerts('ALERTS', equals('alertstate', 'firing'))}) or 0 * mms:threshold:failed:ratio"
"""0 only if the rules are loaded, because they record the thresholds."""


def stale_sources(*matchers: str) -> str:
    """Return the number of sources without a recent complete refresh."""
    age = source("mms:source:last_success_age:seconds", *matchers)
    return f"sum({age} > bool on () group_left () mms:threshold:last_success_age:seconds)"


def left_in(hours: int) -> str:
    """Return the work that remains after some hours, as expected."""
    share = f"clamp_min(1 - {3600 * hours} / {_forecast_left(EXPECTED)}, 0)"
    return f"sum(({_LEFT} > 0) * {share} or {_LEFT})"


def forecast(bound: str) -> str:
    """Return remaining work from the end of the data to the end of the slowest source."""
    # Without a source that has an end, it returns nothing.
    last = f"max_over_time((max(timestamp({_LEFT})))[$__range:$__interval] @ end())"
    since = f"(time() - (max(timestamp({_LEFT} @ end())) or {last}))"
    series = (_LEFT, _forecast_left(bound))
    needs = at_the_end(f"max(({{1}} {_HAS_END}) > 0)", *series)
    moving = at_the_end(f"sum({{0}} and {{1}} {_HAS_END})", *series)
    stays = at_the_end(f"sum(({{0}} unless {{1}} {_HAS_END}) or 0 * {{0}})", *series)
    # The expected line begins an hour earlier: a time range that ends now shows no other part of it.
    earlier = 3600 if bound == EXPECTED else 60
    shown = f"({since} >= 0 or ({since} > -{earlier} and {LEFT}))"
    return f"clamp_min(1 - {since} / {needs}, 0) * {moving} + {stays} and {shown}"


def failed(kind: str) -> str:
    """Return failed tables or partitions of all chosen sources."""
    return f"sum({source('mms:source:objects:max', equals('kind', kind), equals('status', 'FAILED'))})"
