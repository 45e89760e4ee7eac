"""The dashboards drawn as users see them: by Grafana's own panels in Chromium, from what a real Prometheus answers."""
