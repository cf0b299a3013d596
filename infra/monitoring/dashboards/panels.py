"""The few kinds of panels that the dashboards are made of; every one has a description and a unit."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, gauge, heatmap, prometheus, stat, statetimeline, table
from grafana_foundation_sdk.builders import timeseries as lines
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef("prometheus", "${datasource}")
TAG = "lipsync"
WIDTH = 24
FRAMES, FRAMES_PER_S, RATIO, SECONDS = "frames", "frames/s", units.PercentUnit, units.Seconds
COUNT, BYTES, PER_S, YES_NO = units.Short, units.BytesSI, units.CountsPerSecond, units.BoolYesNo
_LAST = common.ReduceDataOptions().calcs(["lastNotNull"])

Panels = Sequence[Builder[Panel]]


class Query(NamedTuple):
    """PromQL, and how its series are called; `$fleet` and `$job_id` are variables of the dashboard."""

    expr: str
    legend: str = ""


def _unit(name: str) -> str:
    """Units that Grafana does not know are words behind the number."""
    return f"suffix: {name}" if name in {FRAMES, FRAMES_PER_S} else name


def _targets(queries: Sequence[Query], *, instant: bool = False) -> list[prometheus.Dataquery]:
    targets = []
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(SOURCE)
        target = target.legend_format(query.legend or "__auto")
        targets.append(target.instant() if instant else target.range())
    return targets


def number(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    bad_from: float | None = None,
    good_from: float | None = None,
    words: dict[str, str] | None = None,
    name_shown: bool = False,
) -> stat.Panel:
    """One large number.

    Args:
        title: of the panel.
        description: what it says, for whoever points at it.
        unit: one of this module's.
        query: gives the number.
        bad_from: red from this number on.
        good_from: red below this number.
        words: said instead of some numbers.
        name_shown: show the name of the series instead.
    """
    steps = [Threshold(None, "green")]
    if bad_from is not None:
        steps.append(Threshold(bad_from, "red"))
    if good_from is not None:
        steps = [Threshold(None, "red"), Threshold(good_from, "green")]
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(_unit(unit))
        .targets(list(_targets([query], instant=True)))
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.NAME if name_shown else BigValueTextMode.VALUE)
        .reduce_options(_LAST)
        .no_value("none")
        .height(4)
        .span(3)
    )
    if words:
        panel = panel.mappings([ValueMap({value: ValueMappingResult(word) for value, word in words.items()})])
    return panel


def curves(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    span: int = 8,
    most: float | None = None,
) -> lines.Panel:
    """Numbers over time; `most` is the end of the scale."""
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    panel = (
        lines.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(_unit(unit))
        .targets(list(_targets(queries)))
        .legend(legend.display_mode(LegendDisplayMode.LIST))
        .show_points(VisibilityMode.NEVER)
        .fill_opacity(25 if stacked else 8)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
        .height(8)
        .span(span)
    )
    if unit not in {PER_S, FRAMES_PER_S, SECONDS} or stacked:
        panel = panel.min(0)
    return panel.max(most) if most is not None else panel


def dial(title: str, description: str, unit: str, query: Query, most: float) -> gauge.Panel:
    """A number on a scale from 0 to `most`."""
    return (
        gauge.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(_unit(unit))
        .targets(list(_targets([query], instant=True)))
        .reduce_options(_LAST)
        .min(0)
        .max(most)
        .height(8)
        .span(6)
    )


def buckets(title: str, description: str, unit: str, query: Query, span: int = 8) -> heatmap.Panel:
    """How a distribution changes over time."""
    target = _targets([query])[0].format(PromQueryFormat.HEATMAP)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(_unit(unit))
        .targets([target])
        .height(8)
        .span(span)
    )


def states(title: str, description: str, query: Query, span: int = WIDTH) -> statetimeline.Panel:
    """Which state something was in, and when."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(YES_NO)
        .targets(list(_targets([query])))
        .height(5)
        .span(span)
    )


def rows(title: str, description: str, query: Query, columns: Sequence[str], span: int = WIDTH) -> table.Panel:
    """A table of labels."""
    target = _targets([query], instant=True)[0].format(PromQueryFormat.TABLE)
    order = {column: place for place, column in enumerate(columns)}
    hidden = dict.fromkeys(("Time", "Value", "__name__", "instance", "job"), True)
    arrange = {"excludeByName": hidden, "indexByName": order, "renameByName": {}}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(COUNT)
        .targets([target])
        .with_transformation(DataTransformerConfig("organize", options=arrange))
        .height(8)
        .span(span)
    )


def page(title: str, uid: str, description: str, *, since: str) -> dashboard.Dashboard:
    """An empty dashboard with the variables `datasource` and `fleet`, and a way to the others."""
    others = dashboard.DashboardLink("Fleet and jobs").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .refresh("15s")
        .time(since, "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(others.include_vars(True).keep_time(True))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(choice("fleet", "Fleet", "label_values(lipsync_redis_up, job)"))
    )


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable whose values come from Prometheus; job ids sort by their age, the newest first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_DESC)
    )


def with_rows(board: dashboard.Dashboard, sections: Mapping[str, Panels]) -> dashboard.Dashboard:
    """A dashboard with its panels, under a heading each group."""
    for title, panels in sections.items():
        board = board.with_row(dashboard.Row(title))
        for panel in panels:
            board = board.with_panel(panel)
    return board


def write(built: dashboard.Dashboard) -> str:
    """A dashboard as the text of its file."""
    document: Any = json.loads(JSONEncoder().encode(built.build()))
    for position, panel in enumerate(document["panels"], 1):
        panel["id"] = position
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
