"""What the pages say of metrics and alerts is what the exporter shows and what the rules are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.settings import Settings
from jobs import tallies
from jobs.exporter import FleetCollector, FleetReader
from jobs.fleet_state import WorkerFacts, write_facts
from jobs.ledger_redis import RedisLedger
from tests.docs.pages import OPERATING, REFERENCE, rows
from tests.servers import redis_server
from tests.watching.test_exporter import open_job
from tests.watching.test_rules import ALERTS

Metric = tuple[str, str, str]
"""Type, labels and meaning."""


def shown(tmp_path: Path) -> dict[str, Metric]:
    """All metrics of a fleet that has everything there is to show, as a table would say it."""
    with redis_server() as server:
        settings = Settings(home=tmp_path, redis_url=server.url)
        ledger = RedisLedger(settings)
        open_job(ledger)
        gpu = {"device_memory_bytes": 1, "device_memory_total_bytes": 2, "device_use": 0.5}
        told = WorkerFacts("gpu0@a", "a", started_s=1.0, pace_fps=1.0, memory_bytes=1, cache_free_bytes=1, **gpu)  # type: ignore[arg-type]
        ledger.worker_seen("gpu0@a", write_facts(told))
        ledger.tally(tallies.observation(tallies.STAGE_S, 1.0, "whole"))
        registry = CollectorRegistry()
        registry.register(FleetCollector(FleetReader(settings)))
        page = generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(page):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        assert family.samples, name
        found[name] = (family.type, ", ".join(f"`{label}`" for label in sorted(labels)), family.documentation)
    return found


def documented() -> Iterator[tuple[str, Metric]]:
    for cell, (_, kind, labels, meaning) in rows(REFERENCE, "metric").items():
        yield cell.strip("`"), (kind, labels, meaning)


def test_the_table_of_metrics_is_what_the_exporter_shows(tmp_path: Path) -> None:
    assert dict(documented()) == shown(tmp_path)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_section_that_says_what_to_do(alert: str) -> None:
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()
    found = re.search(rf"^### Alert {kebab}\n(.*?)(?=^##|\Z)", OPERATING.read_text(), re.M | re.S)
    assert found, alert
    for word in ("**Means:**", "**Look at:**", "**Do:**"):
        assert word in found[1]
    anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")[2]
    assert anchor == "alert-" + kebab
