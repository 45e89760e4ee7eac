"""Tests with the real programs around the exporter: Prometheus and Alertmanager."""
