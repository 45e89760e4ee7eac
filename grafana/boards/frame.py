"""What every dashboard has: variables, links to the others, a mark where the exporter started, rows of panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from grafana import identity, palette, panels
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope

TITLES = {
    identity.OVERVIEW: "Video tasks: overview",
    identity.PROVIDER: "Video tasks: provider",
    identity.MODELS: "Video tasks: models",
    identity.ACCOUNTS: "Video tasks: accounts",
    identity.EXPORTER: "Video tasks: exporter",
}

TAGS = ["video-tasks", "prometheus"]

KEPT = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"
"""What a link to another dashboard hands on besides the provider and the kind."""

PROVIDER_PAGE = (
    f"/d/{identity.PROVIDER}?{KEPT}"
    "&var-provider=${__data.fields.provider:percentencode}&var-kind=${__data.fields.kind:percentencode}"
)
"""The Provider dashboard for a row of a table."""

TASK_PAGE = "http://${__data.fields.instance:raw}/tasks/" + "/".join(
    f"${{__data.fields.{name}:percentencode}}" for name in ("provider", "kind", "task_id")
)
"""The exporter's page of a task, for a row of a table. `instance` is where Prometheus scrapes the exporter."""

NO_TASKS = "Appears after the feed's first complete sweep"
WITHDRAWN = "Nothing to show: no sweep yet, or none succeeded for three poll intervals"
NO_MODELS = "No task of a known model yet: the vendor names none, or model_limit is 0"
NO_CALLS = "No calls to this vendor yet"
NO_EXPORTER = "No exporter reports: see the top of this page"

Rows = Mapping[str, Sequence[panels.Panel]]
"""The panels under each heading. Those under an empty heading stand at the top without one."""


def board(uid: str, about: str, rows: Rows, select: Scope = CHOSEN) -> dashboard.Dashboard:
    """A dashboard that is read-only in the browser, because it is made from code."""
    made = dashboard.Dashboard(TITLES[uid]).uid(uid).description(about).tags(TAGS).readonly()
    made.timezone("browser").time("now-6h", "now").refresh("30s").tooltip(model.DashboardCursorSync.CROSSHAIR)
    for other, title in TITLES.items():
        if other != uid:
            made.link(_link(other, title))
    made.with_variable(_datasource())
    for variable in _variables(select):
        made.with_variable(variable)
    made.annotation(_starts(select))
    for heading, row in rows.items():
        if heading:
            made.with_row(panels.row(heading))
        for panel in row:
            made.with_panel(panel)
    return made


def ours(metric: str, select: Scope = CHOSEN) -> str:
    """Series that every target of Prometheus has, of our exporters alone: "All" jobs are those of others, too."""
    return f"{select(metric)} and on (job, instance) {select('exporter_build_info')}"


def once_ours(metric: str, select: Scope = CHOSEN) -> str:
    """The same, with the exporters that reported within the time range and do not any more."""
    return f"{select(metric)} and on (job, instance) last_over_time({select('exporter_build_info')}[{WHOLE_RANGE}])"


def _link(uid: str, title: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).url(f"/d/{uid}").icon("dashboard")
    return link.tooltip("The same time range and selection").keep_time(True).include_vars(True).target_blank(False)


def _datasource() -> dashboard.DatasourceVariable:
    chosen = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return chosen.description("The Prometheus that scrapes the exporter.")


def _variables(select: Scope) -> list[dashboard.QueryVariable]:
    source = {
        "job": ("exporter_build_info", "Under which job Prometheus scrapes the exporter."),
        "instance": ("exporter_build_info", "Which exporter, by the address that Prometheus scrapes."),
        "provider": ("provider_info", "Which account at which vendor, by its name in the configuration."),
        "kind": ("feed_info", "Which family of tasks of the provider."),
    }
    made: list[dashboard.QueryVariable] = []
    within: dict[str, str] = {}
    for name, (metric, about) in source.items():
        # Each is narrowed by those before it.
        values = f"label_values({Scope(dict(within), select.served)(metric)}, {name})"
        variable = dashboard.QueryVariable(name).label(name.capitalize()).description(about).query(values)
        variable.datasource(panels.DATASOURCE).multi(True).include_all(True).all_value(".+")
        variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
        made.append(variable.current(model.VariableOption(selected=True, text=["All"], value=["$__all"])))
        within[name] = f"${name}"
    return made


def _starts(select: Scope) -> dashboard.AnnotationQuery:
    started = f"changes({select('process_start_time_seconds')}[{EACH_INTERVAL}])"
    expr = f"({started} and on (job, instance) {select('exporter_build_info')}) > 0"
    mark = dashboard.AnnotationQuery().name("Exporter started").datasource(panels.DATASOURCE).expr(expr)
    return mark.enable(True).hide(False).icon_color(palette.NEUTRAL)
