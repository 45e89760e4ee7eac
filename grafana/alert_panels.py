"""Which panel shows what an alert is about, by the alert's name: Grafana links it, and marks the alert there."""

from __future__ import annotations

from collections.abc import Mapping

PANELS: Mapping[str, str] = {
    "exporter_down": "Reached by Prometheus",
    "exporter_absent": "Reached by Prometheus",
    "exporter_restarting": "Exporters",
    "config_reload_failed": "Configuration",
    "ledger_lost": "Ledgers lost",
    "loop_restarted": "State",
    "provider_unheld": "State",
    "provider_held_twice": "State",
    "feed_down": "Sweeps over time",
    "data_stale": "Age of data",
    "auth_failing": "API errors by class",
    "balance_exhausted": "API errors by class",
    "rate_limited": "API errors by class",
    "history_gap": "State",
    "api_drift": "State",
    "poll_overrun": "Age of data",
    "watch_source_down": "Sources of ids",
    "balance_low": "Accounts",
    "balance_running_out": "Days that accounts last",
    "balance_unreadable": "Why balances cannot be read",
    "moderation_spike": "Failures by reason",
    "failure_burn_fast": "Failures by reason",
    "failure_burn_slow": "Failures by reason",
    "no_success": "Since the latest end",
    "run_time_high": "Run p50 and p95",
    "queue_growing": "In flight by state",
    "queued_too_long": "Age of the oldest task",
    "running_too_long": "Age of the oldest task",
    "stalled": "Stalled",
    "unknown_state": "In flight by state",
    "blocked": "In flight by state",
}
"""Titles of panels on the dashboard of the alert's subject."""
