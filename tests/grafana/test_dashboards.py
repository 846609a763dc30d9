"""The dashboards as a reader and Grafana meet them."""

import os
import re
import subprocess
import sys
from itertools import combinations
from urllib.parse import parse_qs, urlsplit

import pytest

from grafana.builder import palette
from grafana.builder.__main__ import files
from tests.grafana.checked_in import DIRECTORY, NAMES, ROOT, SENTINEL, UIDS, Json, dashboard, panels

KINDS = {"row", "stat", "timeseries", "table", "state-timeline", "heatmap", "bargauge"}
SHARED_VARIABLES = ["datasource", "account", "source"]
PROCESS = {"job", "instance"}
MEANINGS = {
    "Done": "green",
    "Doing": "blue",
    "Running": "blue",
    "Part done": "yellow",
    "Failed": "red",
    "Pending": palette.OTHER,
    "Waiting": palette.OTHER,
}
ALL = {f"{name}: {panel['title']}": panel for name in NAMES for panel in panels(name)}


def of_type(kind: str) -> pytest.MarkDecorator:
    return each({title: panel for title, panel in ALL.items() if panel["type"] == kind})


def each(chosen: dict[str, Json]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("panel", [pytest.param(panel, id=title) for title, panel in chosen.items()])


def test_what_is_checked_in_is_what_the_code_builds() -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()}
    assert there == files()


def test_each_run_builds_the_same() -> None:
    command = "from grafana.builder.__main__ import files; print(files())"
    runs = {
        subprocess.run(  # noqa: S603 - the command is the line above
            [sys.executable, "-c", command],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


@pytest.mark.parametrize("name", NAMES)
def test_uid_and_schema_are_those_that_links_and_grafana_know(name: str) -> None:
    loaded = dashboard(name)
    assert loaded["uid"] == UIDS[name]
    assert loaded["schemaVersion"] == 42
    assert loaded["editable"] is False


@pytest.mark.parametrize("name", NAMES)
def test_panels_are_of_kinds_and_have_options_that_grafana_11_has(name: str) -> None:
    assert {panel["type"] for panel in dashboard(name)["panels"]} <= KINDS
    assert "custom.displayMode" not in (DIRECTORY / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_ids_of_panels_are_their_own(name: str) -> None:
    ids = [panel["id"] for panel in dashboard(name)["panels"]]
    assert len(set(ids)) == len(ids)


@each(ALL)
def test_a_panel_explains_itself(panel: Json) -> None:
    assert panel["title"]
    assert re.fullmatch(r"[A-Z`].{20,}\.", panel["description"], re.DOTALL)


@each(ALL)
def test_a_panel_has_a_unit(panel: Json) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "heatmap":
        assert panel["options"]["yAxis"]["unit"] == "s"


def _number_columns(panel: Json) -> set[str]:
    (organize,) = [step["options"] for step in panel["transformations"] if step["id"] == "organize"]
    return {shown for field, shown in organize["renameByName"].items() if field.startswith("Value")}


@of_type("table")
def test_a_column_of_numbers_has_its_unit_and_leaves_empty_cells_grey(panel: Json) -> None:
    looks = {
        override["matcher"]["options"]: {look["id"]: look["value"] for look in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    for column in _number_columns(panel):
        assert looks[column]["unit"]
        empty = looks[column]["mappings"][-1]["options"]
        assert empty == {"match": "null+nan", "result": {"text": "-", "color": palette.OTHER}}


@of_type("stat")
def test_a_figure_that_is_not_known_is_grey_and_never_an_old_one(panel: Json) -> None:
    assert all(target["instant"] for target in panel["targets"])
    assert panel["fieldConfig"]["defaults"]["noValue"] != "0"
    absent = panel["fieldConfig"]["defaults"]["mappings"][-1]["options"]
    assert absent["match"] == "null+nan"
    assert absent["result"]["color"] == palette.OTHER


@pytest.mark.parametrize("name", NAMES)
def test_panels_stay_within_the_grid_and_off_each_other(name: str) -> None:
    places = [panel["gridPos"] for panel in dashboard(name)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_panels_is_as_wide_as_the_screen(name: str) -> None:
    widths: dict[int, int] = {}
    for panel in dashboard(name)["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}


@pytest.mark.parametrize("name", NAMES)
def test_the_variables_are_the_shared_ones_first_and_all_means_all(name: str) -> None:
    variables = dashboard(name)["templating"]["list"]
    names = [variable["name"] for variable in variables]
    assert [variable for variable in names if variable not in PROCESS][:3] == SHARED_VARIABLES
    assert variables[0]["current"] == {"selected": True, "text": "default", "value": "default"}
    for variable in variables[1:]:
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["current"]["value"] == ["$__all"]
        # A job without a database or a project has an empty label, which `.+` would leave out.
        optional = variable["name"] in {"database", "project"}
        assert variable["allValue"] == (".*" if optional else ".+")


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_is_used_exists(name: str) -> None:
    text = (DIRECTORY / f"{name}.json").read_text(encoding="utf-8")
    used = set(re.findall(r"\$(?:\{)?([a-z]\w*)", text))
    assert used == {variable["name"] for variable in dashboard(name)["templating"]["list"]}


@pytest.mark.parametrize("name", NAMES)
def test_each_dashboard_links_to_the_others_with_variables_and_time(name: str) -> None:
    links = dashboard(name)["links"]
    linked = [other for other in NAMES if other not in {name, "wall"}]
    assert {link["url"] for link in links} == {f"/d/{UIDS[other]}" for other in linked}
    assert all(link["includeVars"] and link["keepTime"] for link in links)


def _urls(panel: Json) -> list[str]:
    links = panel.get("links", []) + panel["fieldConfig"]["defaults"].get("links", [])
    for override in panel["fieldConfig"]["overrides"]:
        links = links + [link for look in override["properties"] if look["id"] == "links" for link in look["value"]]
    return [link["url"] for link in links]


LINKING = {title: panel for title, panel in ALL.items() if _urls(panel)}


def test_the_tables_of_sources_and_jobs_link_their_rows() -> None:
    tables = {"overview: Data sources", "jobs: Unfinished jobs", "jobs: Failed jobs"}
    assert tables | {"datasource: Remaining work"} <= set(LINKING)


@each(LINKING)
def test_links_of_panels_lead_to_what_exists(panel: Json) -> None:
    for url in _urls(panel):
        uid = urlsplit(url).path.removeprefix("/d/")
        name = {uid: name for name, uid in UIDS.items()}[uid]
        target = dashboard(name)
        variables = {variable["name"] for variable in target["templating"]["list"]}
        assert set(re.findall(r"\$\{(\w+):queryparam\}", url)) <= variables
        assert set(re.findall(r"var-(\w+)=", url)) <= variables
        shown = parse_qs(urlsplit(url).query).get("viewPanel", ())
        assert {int(number) for number in shown} <= {one["id"] for one in target["panels"]}


@each(LINKING)
def test_links_of_rows_use_columns_that_the_table_has(panel: Json) -> None:
    wanted = {field for url in _urls(panel) for field in re.findall(r"__data\.fields\.(\w+)", url)}
    shown = {
        column
        for step in panel.get("transformations", ())
        if step["id"] == "organize"
        for column in step["options"]["renameByName"].values()
    }
    assert wanted <= shown


@pytest.mark.parametrize("name", NAMES)
def test_alerts_are_marked_on_every_graph_and_reloads_on_those_of_the_exporter(name: str) -> None:
    annotations = {one["name"]: one for one in dashboard(name)["annotations"]["list"]}
    assert set(annotations) == {"Alerts", *(("Reloads", "Failed reloads") if name == "exporter" else ())}
    assert all(one["enable"] and one["expr"] and one["titleFormat"] for one in annotations.values())
    # An alert that fires for days is a line where it began, and does not cover what it is about.
    assert {one for one in annotations if annotations[one].get("useValueForTime")} == set(annotations) - {
        "Failed reloads"
    }


def test_lines_of_a_flapping_alert_are_further_apart_than_grafana_joins_them() -> None:
    (alerts,) = dashboard("overview")["annotations"]["list"]
    rounded = re.fullmatch(r"(\d+)000 \* round\(.+ / (\d+)\)", alerts["expr"])
    assert rounded
    assert rounded[1] == rounded[2]
    assert int(rounded[1]) > int(alerts["step"].removesuffix("s"))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_exporter_offers_to_choose_instances(name: str) -> None:
    variables = dashboard(name)["templating"]["list"]
    assert [one["name"] for one in variables if one.get("hide")] == []
    assert {one["name"] for one in variables} & PROCESS == (PROCESS if name == "exporter" else set())


def _says_nothing(panel: Json) -> str:
    (target,) = [target for target in panel["targets"] if target["refId"] == SENTINEL]
    return str(target["expr"])


@of_type("table")
def test_an_empty_table_has_one_row_that_says_why(panel: Json) -> None:
    assert re.search(r'label_replace\(absent\(.*"(No|The) [^"]+", "", ""\)', _says_nothing(panel))


@each({title: panel for title, panel in ALL.items() if panel["type"] in {"state-timeline", "bargauge"}})
def test_a_timeline_or_bars_without_data_say_so(panel: Json) -> None:
    assert _says_nothing(panel).startswith("-1 * absent(")
    assert {"-1": {"text": "No data", "color": palette.OTHER, "index": 0}} in [
        mapping["options"] for mapping in panel["fieldConfig"]["defaults"]["mappings"]
    ]


@of_type("timeseries")
def test_a_graph_of_zeros_has_a_small_scale(panel: Json) -> None:
    assert panel["fieldConfig"]["defaults"]["custom"]["axisSoftMax"] <= 1


@each(ALL)
def test_no_age_is_negative_and_no_moment_in_the_future(panel: Json) -> None:
    for target in panel["targets"]:
        assert not re.search(r"(?<!clamp_min\()time\(\) - (?!\(max)", target["expr"])
    for override in panel["fieldConfig"]["overrides"]:
        looks = {look["id"]: look["value"] for look in override["properties"]}
        assert looks.get("unit") != "dateTimeFromNow" or "clamp_max(" in str(panel["targets"])


def test_the_wall_fits_on_a_screen() -> None:
    """24 rows of 38 pixels, with menu and variables above them, are less than 1080 pixels."""
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard("wall")["panels"]) == 24


@pytest.mark.parametrize("name", ["overview", "wall"])
def test_failed_tables_and_partitions_are_one_click_from_their_names(name: str) -> None:
    lists = {panel["id"]: panel["title"] for panel in panels("datasource") if panel["type"] == "table"}
    for panel in (ALL[f"{name}: {title}"] for title in ("Failed tables", "Failed partitions")):
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        (number,) = parse_qs(urlsplit(link["url"]).query)["viewPanel"]
        assert lists[int(number)] == panel["title"]


@each(ALL)
def test_a_colour_means_the_same_everywhere(panel: Json) -> None:
    for override in panel["fieldConfig"]["overrides"]:
        colours = [
            look["value"]["fixedColor"]
            for look in override["properties"]
            if look["id"] == "color" and "fixedColor" in look["value"]
        ]
        expected = MEANINGS.get(override["matcher"]["options"])
        assert not colours or expected is None or colours == [expected]


@each({title: panel for title, panel in ALL.items() if re.search("by (state|status)$", title)})
def test_every_state_that_is_drawn_has_its_colour(panel: Json) -> None:
    coloured = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    assert {target["legendFormat"] for target in panel["targets"]} == coloured
