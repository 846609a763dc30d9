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
_NEW: Final = source("mms:source:overall_new_per_hour:increase6h")
_HALTED: Final = source("mms:source:halted:max")
LEFT: Final = f"sum({_LEFT})"

PROGRESS: Final = f"{DONE} / ({TOTAL} > 0)"


def time_left() -> str:
    """Return the seconds that each source needs: 0 if nothing is left.

    +Inf if the source is halted or nothing was done within 1 hour; GROWING_SECONDS if no more was done than arrived.
    """
    left = by_source(source("mms:source:time_left:seconds"))
    is_active = f"({by_source(_PACE)} > bool 0)"
    halted = f"{left} and on ({SOURCE}) {_HALTED}"
    return f"({left} == 0 or {halted} or clamp_max({left}, {palette.GROWING_SECONDS:g}) / {is_active})"


TIME_LEFT: Final = f"max({time_left()})"
"""Of the slowest source."""
_UNFINISHED: Final = f"{time_left()} > 0"


def _finishes(chosen: str, order: str) -> str:
    """Return when the chosen source finishes in milliseconds."""
    moment = f"1000 * (time() + {chosen})"
    return f'label_replace({moment}, "source", "$1 {order}:", "source", "(.+)")'


_SEVERAL: Final = f"on () count({_UNFINISHED}) > 1"
FIRST_DONE_AT: Final = _finishes(
    f"bottomk(1, {_UNFINISHED} < {palette.GROWING_SECONDS:g}) and {_SEVERAL}", "finishes first"
)
"""Of several unfinished sources."""
_ALL_DONE: Final = f'label_replace({TIME_LEFT} == 0, "source", "All sources:", "", "")'
LAST_DONE_AT: Final = f"{_finishes(f'topk(1, {_UNFINISHED})', 'finishes last')} or {_ALL_DONE}"
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
    """Return the work that remains after some hours at the last hour's rate."""
    pace = f"((({_PACE} - {_NEW}) unless {_HALTED}) or 0 * {_LEFT})"
    return f"sum(clamp_min({_LEFT} - {hours} * {pace}, 0))"


def forecast() -> str:
    """Return remaining work and forecast at the last hour's rate."""
    # Without a source that makes progress, it returns nothing.
    last = f"max_over_time((max(timestamp({_LEFT})))[$__range:$__interval] @ end())"
    since = f"(time() - (max(timestamp({_LEFT} @ end())) or {last}))"
    net, series = "({1} - {2} > 0 unless {3})", (_LEFT, _PACE, _NEW, _HALTED)
    left = at_the_end("sum({})", _LEFT)
    pace = at_the_end(f"sum(({net} and {{0}} > 0) or 0 * {{0}})", *series)
    stays = at_the_end(f"sum(({{0}} unless {net}) or 0 * {{0}})", *series)
    shown = f"({since} >= 0 or ({since} > -3600 and {LEFT}))"
    return f"clamp_min({left} - ({pace} > 0) * {since} / 3600, scalar({stays})) and {shown}"


def failed(kind: str) -> str:
    """Return failed tables or partitions of all chosen sources."""
    return f"sum({source('mms:source:objects:max', equals('kind', kind), equals('status', 'FAILED'))})"
