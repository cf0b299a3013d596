"""What Prometheus, Alertmanager and Grafana need to watch a fleet: rules with their tests, settings, dashboards."""
