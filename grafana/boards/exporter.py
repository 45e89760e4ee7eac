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
from grafana.panels import Column, columns, graph, latest, number, query
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, by

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
    reloaded = select("exporter_config_last_reload_success_timestamp_seconds")
    return [
        columns(
            "Exporters",
            {
                "job": Column("Job", hidden=True),
                "instance": Column("Exporter"),
                "version": Column("Version"),
                "pythonversion": Column("Python"),
            },
            [
                (
                    Column("Runs since", units.Seconds),
                    f"(time() - {select('process_start_time_seconds')}) * on (job, instance) "
                    f"group_right () max {by('job', 'instance', 'version', 'pythonversion')} "
                    f"({select('exporter_build_info')})",
                ),
            ],
            about="Which versions run, and for how long. Good: one version, and no unplanned start.",
            empty=frame.NO_EXPORTER,
            size=(8, 5),
            unit=units.Short,
        ),
        number(
            "Reached by Prometheus",
            latest(f"min({once_ours('up', select)})"),
            about="Whether the last scrape of every exporter that reported in the time range succeeded. Not reached: "
            "see Status, Targets in Prometheus, then the exporter's process and log.",
            empty="Never in this time range",
            size=(4, 5),
            unit=units.Short,
            words=REACHED,
        ),
        number(
            "Configuration",
            latest(f"min({select('exporter_config_last_reload_successful')})"),
            about="Whether the configuration was accepted when it was last read. Refused: the old one is in force; run "
            "check-config and mend the file.",
            empty="No exporter",
            size=(3, 5),
            unit=units.Short,
            words=READ,
        ),
        number(
            "Last read",
            latest(f"time() - max({reloaded})"),
            about="Since the configuration was last read with success: at the start, or at a reload.",
            empty="No exporter",
            size=(3, 5),
            unit=units.Seconds,
        ),
        number(
            "Ledgers lost",
            latest(f"max(max_over_time({select('ledger_losses_total')}[{WHOLE_RANGE}]))"),
            about="Damaged ledgers that the exporter set aside; the task counters then started again at 0. Good: none. "
            "Else look at the disk, and keep the file that was set aside.",
            empty="No exporter",
            size=(3, 5),
            unit=units.Short,
            steps=ANY_IS_BAD,
        ),
        number(
            "Loops restarted",
            latest(f"sum(increase({select('loop_restarts_total')}[{WHOLE_RANGE}]))"),
            about="Polling loops that were stuck and restarted in the time range. Good: none. Each is "
            "a bug of the exporter: report it with the log.",
            empty="No exporter",
            size=(3, 5),
            unit=units.Short,
            steps=ANY_IS_BAD,
        ),
    ]


def _sweeps(select: Scope) -> list[panels.Panel]:
    feed = "{{provider}} {{kind}}"
    age = f"(time() - min {FEED} ({select('last_successful_poll_timestamp_seconds')}))"
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
            query(f"{age} / {interval}", feed),
            about="Age of each feed's data, in its own poll intervals. Good: between 0 and 2. From 3 on, what is in "
            "flight is withdrawn rather than shown stale.",
            empty="No sweep has succeeded yet",
            size=(12, 8),
            unit=units.NoUnit,
            steps=[(0, palette.GOOD), (2, palette.WARNING), (3, palette.BAD)],
        ),
        graph(
            "Length of sweeps",
            query(f"max {FEED} ({select('poll_duration_seconds')})", feed),
            about="How long the last sweep took. Good: well below the poll interval. Long sweeps wait for the vendor "
            "or for rate_limit: see the Provider dashboard.",
            empty=frame.NO_TASKS,
            size=(8, 8),
            unit=units.Seconds,
        ),
        graph(
            "Poll intervals in force",
            query(interval, feed),
            about="The poll interval in force: poll_interval, idle_poll_interval of a listed feed with nothing in "
            "flight, or what max_requests_per_day stretches it to.",
            empty=frame.NO_EXPORTER,
            size=(8, 8),
            unit=units.Seconds,
        ),
        graph(
            "Errors of calls by provider",
            query(
                f"sum {by('provider', 'error')} (increase({select('api_errors_total')}[{EACH_INTERVAL}])) > 0",
                "{{provider}} {{error}}",
            ),
            about="Failed calls by provider and class, in each minute or more. Good: nothing here. The log has one "
            "line when an outage begins and one when it ends.",
            empty="Good: no call failed in the time range",
            size=(8, 8),
            unit=units.Short,
            bars=True,
            stacked=True,
            interval="1m",
            colours=palette.ERRORS,
        ),
    ]


def _data(select: Scope) -> list[panels.Panel]:
    def counted(title: str, metric: str, label: str, about: str) -> panels.Panel:
        labels = ("provider", "kind", *([label] if label else []))
        legend = " ".join(f"{{{{{name}}}}}" for name in labels)
        return graph(
            title,
            query(f"sum {by(*labels)} (increase({select(metric)}[{EACH_INTERVAL}])) > 0", legend),
            about=about,
            empty="Good: none in the time range",
            size=(6, 8),
            unit=units.Short,
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
            query(ours("scrape_samples_scraped", select), "{{instance}}"),
            about="Series that Prometheus reads from the exporter. Good: level. A rise follows providers, kinds, and "
            "task_series_limit; ids make series nowhere else.",
            empty=frame.NO_EXPORTER,
            size=(12, 7),
            unit=units.Short,
        ),
        graph(
            "Length of scrapes",
            query(ours("scrape_duration_seconds", select), "{{instance}}"),
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
            query(ours("process_resident_memory_bytes", select), "{{instance}}"),
            about="Resident memory. Good: level after the first sweeps; it follows the tasks in flight and the recent "
            "ones. A rise without end is a bug.",
            empty=frame.NO_EXPORTER,
            size=(8, 7),
            unit=units.BytesIEC,
        ),
        graph(
            "CPU",
            query(cpu, "{{instance}}"),
            about="Share of one core. Good: a few percent. Much more: very short poll intervals, or very long "
            "histories.",
            empty=frame.NO_EXPORTER,
            size=(8, 7),
            unit=units.PercentUnit,
        ),
        graph(
            "Open files",
            query(ours("process_open_fds", select), "{{instance}} open"),
            query(ours("process_max_fds", select), "{{instance}} limit"),
            about="Open files and connections against the limit. Good: level and far below it. A rise is a leak.",
            empty=f"{frame.NO_EXPORTER}; Linux only",
            size=(4, 7),
            unit=units.Short,
        ),
        graph(
            "Garbage collections",
            query(
                f"60 * sum {by('instance')} ({collections} and on (job, instance) {info})",
                "{{instance}}",
            ),
            about="Collections of Python's garbage per minute. Good: steady. A rise with memory points to a leak.",
            empty=frame.NO_EXPORTER,
            size=(4, 7),
            unit=units.CountsPerMinute,
        ),
    ]
