"""Grafana dashboards, one per audience, built from code: `python -m infra.monitoring.dashboards` writes the JSON."""
