"""Dashboards, alerts and recording rules as code; `generate.py` writes what Grafana and Prometheus read."""
