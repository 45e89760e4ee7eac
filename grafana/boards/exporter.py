"""The Exporter: its own health, for its operators."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from grafana import identity, palette, panels
from grafana.boards import frame, shared
from grafana.boards.frame import once_ours, ours
from grafana.boards.replicas import replicas
from grafana.boards.scales import ANY_IS_BAD, FEED
from grafana.boards.verdict import verdict
from grafana.panels import AMOUNT, COUNT, Column, Ranked, columns, graph, latest, number
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, at_end, by

REACHED = {"1": ("Reached", palette.GOOD), "0": ("Not reached", palette.BAD)}
READ = {"1": ("Read", palette.GOOD), "0": ("Refused", palette.BAD)}


def exporter(select: Scope = CHOSEN) -> dashboard.Dashboard:
    """The dashboard for the question whether the numbers of the others can be believed."""
    rows: frame.Rows = {
        "": [verdict(select), *_numbers(select)],
        "Sweeps": _sweeps(select),
        "What the vendors' answers lack": _data(select),
        "Scrapes": _scrapes(select),
        "Process": _process(select),
    }
    about = "The exporter's own health: whether it reads its feeds in time, and what it costs."
    return frame.board(identity.EXPORTER, about, rows, select).with_row(replicas(select))


def _numbers(select: Scope) -> list[panels.Panel]:
    built = f"max {by('job', 'instance', 'version', 'pythonversion')} ({select('exporter_build_info')})"
    reloaded = select("exporter_config_last_reload_success_timestamp_seconds")
    return [
        number(
            "Reached by Prometheus",
            latest(f"min({once_ours('up', select)})"),
            about="Whether the last scrape of every exporter that reported in the time range succeeded. Not reached: "
            "see Status, Targets in Prometheus, then the exporter's process and log.",
            empty="Never in this time range",
            size=(5, 3),
            unit=COUNT,
            words=REACHED,
        ),
        number(
            "Configuration",
            latest(f"min({select('exporter_config_last_reload_successful')})"),
            about="Whether the configuration was accepted when it was last read. Refused: the old one is in force; run "
            "check-config and mend the file.",
            empty="No exporter",
            size=(5, 3),
            unit=COUNT,
            words=READ,
        ),
        number(
            "Last read",
            latest(f"time() - max({reloaded})"),
            about="Since the configuration was last read with success: at the start, or at a reload.",
            empty="No exporter",
            size=(5, 3),
            unit=units.Seconds,
        ),
        number(
            "Ledgers lost",
            latest(f"max(max_over_time({select('ledger_losses_total')}[{WHOLE_RANGE}]))"),
            about="Damaged ledgers that the exporter set aside; the task counters then started again at 0. Good: none. "
            "Else look at the disk, and keep the file that was set aside.",
            empty="No exporter",
            size=(5, 3),
            unit=COUNT,
            steps=ANY_IS_BAD,
        ),
        number(
            "Loops restarted",
            latest(f"sum(increase({select('loop_restarts_total')}[{WHOLE_RANGE}]))"),
            about="Polling loops that were stuck and restarted in the time range. Good: none. Each is "
            "a bug in the exporter: report it with the log.",
            empty="No exporter",
            size=(4, 3),
            unit=COUNT,
            steps=ANY_IS_BAD,
        ),
        columns(
            "Exporters",
            {
                "job": Column("Job", hidden=True),
                "instance": Column("Exporter"),
                "version": Column("Version", width=85),
                "pythonversion": Column("Python", width=80),
            },
            [
                (
                    Column("Runs since", units.Seconds, width=105),
                    f"(time() - {select('process_start_time_seconds')}) * on (job, instance) group_right () {built}",
                ),
                (
                    Column("Open files", units.PercentUnit, steps=[(0, palette.GOOD), (0.8, palette.BAD)], width=95),
                    f"({select('process_open_fds')} / {select('process_max_fds')}) * on (job, instance) "
                    f"group_right () {built}",
                ),
            ],
            about="Which versions run, for how long, and how much of the limit of open files is used. Good: one "
            "version, no unplanned start, few files.",
            empty=frame.NO_EXPORTER,
            size=(24, 5),
            unit=COUNT,
        ),
    ]


def _sweeps(select: Scope) -> list[panels.Panel]:
    feed = "{{provider}} {{kind}}"
    age = f"max {FEED} ({shared.age(select)})"
    polled = select("last_successful_poll_timestamp_seconds")
    interval = f"max {FEED} ({select('poll_interval_seconds')})"
    return [
        shared.feeds_over_time(
            "Feeds read",
            select,
            "When each feed's last sweep had succeeded. Good: up throughout. One feed down is its vendor's "
            "matter; all at once are the network's or ours.",
        ),
        graph(
            "Age of data in poll intervals",
            Ranked(f"{age} / {interval}", feed, lowest=True, by=at_end(f"min {FEED} ({polled})")),
            about="Age of each feed's data, in its own poll intervals. Good: between 0 and 2. From 3 on, what is in "
            "flight is withdrawn rather than shown stale.",
            empty="No sweep has succeeded yet",
            size=(12, 8),
            unit=AMOUNT,
            least_top=3.5,
            steps=[(0, palette.GOOD), (2, palette.WARNING), (3, palette.BAD)],
        ),
        graph(
            "Length of sweeps",
            Ranked(f"max {FEED} ({select('poll_duration_seconds')})", feed),
            about="How long the last sweep took. Good: well below the poll interval. Long sweeps wait for the vendor "
            "or for rate_limit: see the Provider dashboard.",
            empty=frame.NO_TASKS,
            size=(12, 8),
            unit=units.Seconds,
        ),
        graph(
            "Poll intervals in force",
            Ranked(interval, feed, by=at_end(f"max {FEED} ({select('poll_duration_seconds')})")),
            about="The poll interval in force: poll_interval, idle_poll_interval of a listed feed with nothing in "
            "flight, or what max_requests_per_day stretches it to.",
            empty=frame.NO_EXPORTER,
            size=(12, 8),
            unit=units.Seconds,
        ),
        graph(
            "Errors of calls by provider",
            Ranked(
                f"sum {by('provider', 'error')} (increase({select('api_errors_total')}[{EACH_INTERVAL}])) > 0",
                "{{provider}} {{error}}",
            ),
            about="Failed calls by provider and class, in each minute or more. Good: nothing here. The log has one "
            "line when an outage begins and one when it ends.",
            empty="Good: no call failed in the time range",
            size=(24, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="1m",
        ),
    ]


def _data(select: Scope) -> list[panels.Panel]:
    def counted(title: str, metric: str, label: str, about: str) -> panels.Panel:
        labels = ("provider", "kind", *([label] if label else []))
        legend = " ".join(f"{{{{{name}}}}}" for name in labels)
        return graph(
            title,
            Ranked(f"sum {by(*labels)} (increase({select(metric)}[{EACH_INTERVAL}])) > 0", legend),
            about=about,
            empty="Good: none in the time range",
            size=(12, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="5m",
        )

    return [
        counted(
            "History gaps",
            "history_gaps_total",
            "",
            "Sweeps that may have missed tasks, as the pages read did not reach what was known. Good: none. Poll more "
            "often, or allow more pages.",
        ),
        counted(
            "Unmapped values",
            "unmapped_values_total",
            "field",
            "Values that no table maps, by field: the vendor's API drifts. Good: none. Update the exporter, or report "
            "it.",
        ),
        counted(
            "Rejected timestamps",
            "rejected_timestamps_total",
            "",
            "Impossible times that were not used. Good: none. Check the clock of this machine first, then the "
            "vendor's.",
        ),
        counted(
            "Unmeasured durations",
            "unmeasured_durations_total",
            "phase",
            "Ended tasks of unknown duration. Usual for vendors that report no times, and for tasks that ended while "
            "the exporter was down.",
        ),
    ]


def _scrapes(select: Scope) -> list[panels.Panel]:
    return [
        graph(
            "Series of each exporter",
            Ranked(ours("scrape_samples_scraped", select), "{{instance}}"),
            about="Series that Prometheus reads from the exporter. Good: level. A rise follows providers, kinds, and "
            "task_series_limit; ids make series nowhere else.",
            empty=frame.NO_EXPORTER,
            size=(12, 7),
            unit=COUNT,
        ),
        graph(
            "Length of scrapes",
            Ranked(ours("scrape_duration_seconds", select), "{{instance}}"),
            about="How long Prometheus waits for the exporter. Good: far below the scrape timeout (10 s by default), "
            "as no vendor is called during a scrape.",
            empty=frame.NO_EXPORTER,
            size=(12, 7),
            unit=units.Seconds,
        ),
    ]


def _process(select: Scope) -> list[panels.Panel]:
    info = select("exporter_build_info")
    cpu = f"rate({select('process_cpu_seconds_total')}[{EACH_INTERVAL}]) and on (job, instance) {info}"
    collections = f"rate({select('python_gc_collections_total')}[{EACH_INTERVAL}])"
    return [
        graph(
            "Memory",
            Ranked(ours("process_resident_memory_bytes", select), "{{instance}}"),
            about="Resident memory. Good: level after the first sweeps; it follows the tasks in flight and the recent "
            "ones. A rise without end is a bug.",
            empty=frame.NO_EXPORTER,
            size=(6, 7),
            unit=units.BytesIEC,
        ),
        graph(
            "CPU",
            Ranked(cpu, "{{instance}}"),
            about="Share of one core. Good: a few percent. Much more: very short poll intervals, or very long "
            "histories.",
            empty=frame.NO_EXPORTER,
            size=(6, 7),
            unit=units.PercentUnit,
        ),
        graph(
            "Open files",
            Ranked(ours("process_open_fds", select), "{{instance}}"),
            about="Open files and connections. Good: level. A rise is a leak. The table above has their share.",
            empty=f"{frame.NO_EXPORTER}; Linux only",
            size=(6, 7),
            unit=COUNT,
        ),
        graph(
            "Garbage collections per minute",
            Ranked(
                f"60 * sum {by('instance')} ({collections} and on (job, instance) {info})",
                "{{instance}}",
            ),
            about="Collections of Python's garbage per minute. Good: steady. A rise with memory points to a leak.",
            empty=frame.NO_EXPORTER,
            size=(6, 7),
            unit=AMOUNT,
            least_top=1,
        ),
    ]
