"""The kinds of panel that the dashboards are made of, one function each.

Every panel says what it shows, what good looks like and what to do (`about`), and why it may be empty (`empty`).
Numbers have a unit, decimals that fit it, and an axis that begins at 0: only a balance is ever negative (`signed`).
Counts are written in full, and axes of times in hours, minutes and seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, NotRequired, Protocol, Required, Self, TypedDict, TypeVar, Unpack
from zlib import crc32

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, statetimeline, table, text, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from exporter.config.values import seconds_of
from grafana import palette
from grafana.promql import at_end, ranks

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

COUNT = units.LocaleFormat
"""The unit of counts: `short` would make 8 K of 8,901."""
AMOUNT = units.NoUnit
"""The unit of other numbers without one, which have fractions."""
CLOCK = units.DurationInHoursMinutesSeconds
"""The unit of axes of long times: in seconds, ticks would lie at 1.3 and 2.1 minutes."""

DECIMALS: Mapping[str, int] = {
    COUNT: 0,
    CLOCK: 0,
    units.PercentUnit: 0,
    units.Seconds: 1,
    AMOUNT: 2,
    units.String: 0,
}
"""How many decimals make sense in each unit, in numbers and tables."""
WHOLE = {COUNT, CLOCK}
"""The units whose axes have whole numbers alone; the others find decimals that keep their ticks apart."""
LEAST_TOP: Mapping[str, float] = {COUNT: 1, CLOCK: 60}
"""Where an axis ends if all is 0: Grafana would take 100."""

NEITHER = "text"
"""The colour of what is below all thresholds: above all of no value, which is neither good nor bad."""

WIDE = 12
"""A graph of so many columns has the legend of feeds and the like at its right, where long names are not cut."""

Panel = Builder[model.Panel]
LEAST_WIDTH = 120
"""Of a column, in pixels: Grafana's own, 150, makes tables wider than small screens."""

Steps = Sequence[tuple[float, str]]
"""Thresholds: from which value on a colour holds, the first from the lowest value on."""
Words = Mapping[str, tuple[str, str]]
"""What to write for a value, and in which colour."""


class Options(TypedDict):
    """The options of every panel of numbers."""

    about: Required[str]
    empty: Required[str]
    size: Required[tuple[int, int]]
    """Width in the 24 columns of the grid, and height."""
    unit: Required[str]
    maximum: NotRequired[float]
    least_top: NotRequired[float]
    """Where an axis ends if no value is higher."""
    signed: NotRequired[bool]
    """Whether values may be negative; the axis then begins at 0 or below."""
    steps: NotRequired[Steps]
    colours: NotRequired[Mapping[str, str]]
    """The colours of series by their names: by the last word of the legend."""
    words: NotRequired[Words]
    interval: NotRequired[str]
    """The least distance of two points: tasks are few, and minutes say more than seconds."""


class _Builder(Protocol):
    """What the builders of all kinds of panel have in common."""

    def id(self, id_val: int, /) -> Self: ...
    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef, /) -> Self: ...
    def span(self, w: int, /) -> Self: ...
    def height(self, h: int, /) -> Self: ...
    def targets(self, targets: list[Builder[Any]], /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def decimals(self, decimals: float, /) -> Self: ...
    def min(self, min_val: float, /) -> Self: ...
    def max(self, max_val: float, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def interval(self, interval: str, /) -> Self: ...
    def mappings(self, mappings: list[model.ValueMapping], /) -> Self: ...
    def thresholds(self, thresholds: Builder[model.ThresholdsConfig], /) -> Self: ...
    def color_scheme(self, color: Builder[model.FieldColor], /) -> Self: ...
    def override_by_regexp(self, regexp: str, properties: list[model.DynamicConfigValue], /) -> Self: ...
    def override_by_query(self, query_ref_id: str, properties: list[model.DynamicConfigValue], /) -> Self: ...


B = TypeVar("B", bound=_Builder)


def identity(title: str) -> int:
    """The id of the panel of this title: links to a panel outlive a change of the order."""
    return 1 + crc32(title.encode()) % 1_000_000


def query(expr: str, legend: str, *, exemplars: bool = False) -> prometheus.Dataquery:
    """A query over the time range; `legend` names its series."""
    return _query(expr).range().legend_format(legend).exemplar(exemplars)


def latest(expr: str, legend: str = "") -> prometheus.Dataquery:
    """A query of the end of the time range."""
    return _query(expr).instant().legend_format(legend)


def _query(expr: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).datasource(DATASOURCE)


@dataclass(frozen=True)
class Ranked:
    """A query by feed, model or the like, of which a graph shows the highest few, or the lowest, in a colour each.

    `dashed` is another value of the same series, drawn in their colours.
    """

    expr: str
    legend: str
    lowest: bool = False
    dashed: str = ""
    by: str = ""
    """What decides about the ranks; by default the mean of the expression over the time range."""

    def targets(self) -> Iterator[tuple[prometheus.Dataquery, list[model.DynamicConfigValue]]]:
        """The query of each rank, with how its line looks."""
        for rank, (colour, chosen) in enumerate(
            zip(palette.LINES, ranks(self.by or at_end(self.expr), self.lowest), strict=True), 1
        ):
            looks = [model.DynamicConfigValue("color", _fixed(colour))]
            yield query(f"({self.expr}) {chosen}", self.legend).ref_id(f"A{rank}"), looks
            if self.dashed:
                dashed = model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})
                unnamed = model.DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False})
                line = query(f"({self.dashed}) {chosen}", self.legend).ref_id(f"B{rank}")
                yield line, [*looks, dashed, unnamed]


def _common(
    builder: B, title: str, queries: Sequence[prometheus.Dataquery], options: Options, base: str = NEITHER
) -> B:
    width, height = options["size"]
    builder.id(identity(title)).title(title).description(options["about"]).datasource(DATASOURCE)
    builder.span(width).height(height).targets([*queries]).no_value(options["empty"])
    builder.unit(_written(options["unit"]))
    if not options.get("signed"):
        builder.min(0)
    if "maximum" in options:
        builder.max(options["maximum"])
    if "interval" in options:
        builder.interval(options["interval"])
        minutes = round(seconds_of(options["interval"]) / 60)
        builder.no_value(f"{options['empty']}. The first point comes within {minutes} min")
    builder.thresholds(_thresholds(options.get("steps", [(0, palette.NEUTRAL)]), base))
    builder.mappings(_mappings(options.get("words", {})))
    for name, colour in options.get("colours", {}).items():
        builder.override_by_regexp(f"/(^| ){name}$/", [model.DynamicConfigValue("color", _fixed(colour))])
    return builder


def _written(unit: str) -> str:
    return COUNT if unit == AMOUNT else unit  # with thousands apart


def _lettered(queries: Sequence[prometheus.Dataquery]) -> list[prometheus.Dataquery]:
    return [each.ref_id(letter) for each, letter in zip(queries, ascii_uppercase, strict=False)]


def _thresholds(steps: Steps, base: str = NEITHER) -> dashboard.ThresholdsConfig:
    listed = [model.Threshold(None, base), *(model.Threshold(value, colour) for value, colour in steps)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(listed)


def _mappings(words: Words) -> list[model.ValueMapping]:
    if not words:
        return []
    results = {
        value: model.ValueMappingResult(text=text_, color=colour, index=index)
        for index, (value, (text_, colour)) in enumerate(words.items())
    }
    return [model.ValueMap(options=results)]


def _fixed(colour: str) -> model.FieldColor:
    return model.FieldColor(mode=model.FieldColorModeId.FIXED, fixed_color=colour)


def _scheme(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def graph(
    title: str,
    *queries: prometheus.Dataquery | Ranked,
    bars: bool = False,
    stacked: bool = False,
    **options: Unpack[Options],
) -> timeseries.Panel:
    """Values over time, as lines, or as bars where each point counts what happened since the last."""
    width, _ = options["size"]
    plain = _lettered([each for each in queries if not isinstance(each, Ranked)])
    ranked = [target for each in queries if isinstance(each, Ranked) for target in each.targets()]
    steps = options.get("steps", [(0, palette.NEUTRAL)])
    # The lowest threshold is a line only where it is no more than the end of the axis.
    options["steps"] = steps[1:]
    panel = _common(timeseries.Panel(), title, [*plain, *(target for target, _ in ranked)], options, steps[0][1])
    for target, looks in ranked:
        panel.override_by_query(target.build().ref_id or "", looks)
    if options["unit"] in WHOLE:
        panel.decimals(0)
    if top := options.get("least_top", LEAST_TOP.get(options["unit"])):
        panel.axis_soft_max(top)
    panel.color_scheme(_scheme(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
    # Without lines around areas: those of states that have none would lie on top of the others.
    filled = bars or stacked
    panel.line_width(0 if filled else 2).fill_opacity(75 if filled else 0).show_points(common.VisibilityMode.AUTO)
    panel.span_nulls(False)
    if options.get("signed"):
        panel.axis_soft_min(0)
    if stacked:
        panel.stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if options["steps"]:
        panel.thresholds_style(parts.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    panel.tooltip(parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    legend = parts.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST).calcs([])
    return panel.legend(
        legend.placement(common.LegendPlacement.RIGHT if ranked and width >= WIDE else common.LegendPlacement.BOTTOM)
    )


def number(title: str, *queries: prometheus.Dataquery, **options: Unpack[Options]) -> stat.Panel:
    """One number, or the words for it."""
    panel = _common(stat.Panel(), title, _lettered(queries), options).decimals(DECIMALS[options["unit"]])
    panel.color_scheme(_scheme(model.FieldColorModeId.THRESHOLDS)).color_mode(common.BigValueColorMode.VALUE)
    panel.graph_mode(common.BigValueGraphMode.NONE).justify_mode(common.BigValueJustifyMode.AUTO)
    panel.text_mode(common.BigValueTextMode.VALUE).orientation(common.VizOrientation.AUTO)
    return panel.reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))


def timeline(title: str, *queries: prometheus.Dataquery, **options: Unpack[Options]) -> statetimeline.Panel:
    """When something was in which condition."""
    panel = _common(statetimeline.Panel(), title, _lettered(queries), options).decimals(0)
    panel.color_scheme(_scheme(model.FieldColorModeId.THRESHOLDS)).merge_values(True).line_width(0).fill_opacity(80)
    panel.show_value(common.VisibilityMode.NEVER).row_height(0.8)
    return panel.legend(
        parts.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs([])
    )


def distribution(title: str, expr: str, *, exemplars: bool = False, **options: Unpack[Options]) -> heatmap.Panel:
    """A histogram over time: the darker a cell, the more fell into its bucket. `unit` is that of the buckets."""
    buckets = query(expr, "{{le}}", exemplars=exemplars).format(PromQueryFormat.HEATMAP)
    panel = _common(heatmap.Panel(), title, _lettered([buckets]), options).decimals(0)
    panel.calculate(False).cell_gap(1).show_legend().mode(common.TooltipDisplayMode.SINGLE).show_y_histogram()
    panel.y_axis(heatmap.YAxisConfig().unit(options["unit"]).axis_placement(common.AxisPlacement.LEFT))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis").exponent(0.5).steps(32))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    return panel.exemplars_color(palette.STATES["failed"])


@dataclass(frozen=True)
class Column:
    """A column of a table: a label of the series, or the value of a query. `link` is where its cells lead."""

    title: str
    unit: str = units.String
    steps: Steps = ()
    words: Words | None = None
    bar: bool = False
    hidden: bool = False
    link: tuple[str, str] | None = None
    width: int | None = None
    left: bool = False
    """Whether its numbers stand at the left, as they are words."""


def columns(
    title: str,
    labels: Mapping[str, Column],
    values: Sequence[tuple[Column, str]],
    *,
    as_sentences: bool = False,
    sorted_by: str = "",
    **options: Unpack[Options],
) -> table.Panel:
    """A row for each combination of the labels, with the values of the queries that have them.

    With `as_sentences`, the values come first, and no heads of columns stand above. The lowest values of the column
    `sorted_by` stand at the top.
    """
    queries = [latest(expr).format(PromQueryFormat.TABLE) for _, expr in values]
    panel = _common(table.Panel(), title, _lettered(queries), options).decimals(DECIMALS[options["unit"]])
    panel.color_scheme(_scheme(model.FieldColorModeId.THRESHOLDS)).show_header(not as_sentences)
    panel.cell_height(common.TableCellHeight.SM).filterable(False).min_width(LEAST_WIDTH)
    letters = [f"Value #{letter}" for letter in ascii_uppercase[: len(values)]] if len(values) > 1 else ["Value"]
    order = [*letters, *labels] if as_sentences else [*labels, *letters]
    if len(values) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    placed: dict[str, object] = {"indexByName": {name: index for index, name in enumerate(order)}}
    arranged = placed | {"excludeByName": {"Time": True}, "renameByName": {}}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=arranged))
    if sorted_by:
        (field,) = [letter for letter, (column, _) in zip(letters, values, strict=True) if column.title == sorted_by]
        order_by: dict[str, object] = {"fields": {}, "sort": [{"field": field, "desc": False}]}
        panel.with_transformation(model.DataTransformerConfig(id_val="sortBy", options=order_by))
    for name, column in [*labels.items(), *zip(letters, (column for column, _ in values), strict=True)]:
        panel.override_by_name(name, _properties(column))
    return panel


def _properties(column: Column) -> list[model.DynamicConfigValue]:
    given: dict[str, object] = {
        "displayName": column.title,
        "unit": _written(column.unit),
        "decimals": DECIMALS[column.unit],
        "noValue": "–",
    }
    if column.steps:
        given["thresholds"] = _thresholds(column.steps).build()
    if column.words:
        given["mappings"] = _mappings(column.words)
    if column.bar:
        given |= {"min": 0, "max": 1}
        mode, shown = common.BarGaugeDisplayMode.BASIC, common.BarGaugeValueMode.TEXT
        given["custom.cellOptions"] = common.TableBarGaugeCellOptions(mode, shown)
    elif column.steps or column.words:
        given["custom.cellOptions"] = common.TableColorTextCellOptions()
    if column.left:
        given["custom.align"] = "left"
    if column.hidden:  # for Grafana 11 and 12, and for 13
        given |= {"custom.hidden": True, "custom.hideFrom": {"viz": True, "legend": False, "tooltip": False}}
    if column.width is not None:
        given["custom.width"] = column.width
    if column.link:
        text_, url = column.link
        given["links"] = [{"title": text_, "url": url, "targetBlank": not url.startswith("/")}]
    return [model.DynamicConfigValue(id_val, value) for id_val, value in given.items()]


def words(title: str, content: str, *, about: str, size: tuple[int, int]) -> text.Panel:
    """A text in Markdown."""
    width, height = size
    panel = text.Panel().id(identity(title)).title(title).description(about).span(width).height(height)
    return panel.mode(TextMode.MARKDOWN).content(content)


def alerts(title: str, name: str, *, about: str, size: tuple[int, int]) -> dashboard.Panel:
    """The alerts that fire or are about to, of Grafana and of Prometheus, whose names contain a text."""
    width, height = size
    options = {
        "alertInstanceLabelFilter": "",
        "alertName": name,
        "dashboardAlerts": False,
        "groupBy": [],
        "groupMode": "default",
        "maxItems": 20,
        "sortOrder": 3,
        "stateFilter": {"error": True, "firing": True, "noData": False, "normal": False, "pending": True},
        "viewMode": "list",
    }
    panel = dashboard.Panel().type("alertlist").id(identity(title)).title(title).description(about)
    return panel.span(width).height(height).options(options)


def row(title: str) -> dashboard.Row:
    """A heading."""
    return dashboard.Row(title).id(identity(f"row {title}"))
