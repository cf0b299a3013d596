"""The dashboards: written by the code that is here, complete, and asking for what a real fleet really tells."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.monitoring.dashboards import job, operator
from infra.monitoring.dashboards.panels import write
from tests.servers import wait_until
from tests.watching.conftest import MONITORING, WatchedFleet
from tests.watching.test_rules import ALERTS, promtool, rules

BOARDS = {board.NAME: board for board in (operator, job)}
FILES = {path.stem: path for path in sorted((MONITORING / "dashboards").glob("*.json"))}

EMPTY = {
    "Use of devices": "this machine has no accelerator",
    "Memory of devices": "this machine has no accelerator",
    "Errors of the store": "only workers that have met one are shown, and this store is well",
}
"""Panels that show nothing on the fleet of these tests, and why that is right."""

UNRECORDED: dict[str, str] = {}
"""Recording rules that give nothing there, and why."""


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(FILES[name].read_text())["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str, str]]:
    """Board, panel and PromQL of everything that is asked, the variables filled in."""
    for name in FILES:
        for panel in panels(name):
            for target in panel["targets"]:
                yield name, panel["title"], target["expr"].replace("$__rate_interval", "1m")


QUERIES = list(queries())


def filled(expr: str, watched: WatchedFleet) -> str:
    """A query about the fleet and its running job, as a dashboard would ask it."""
    return expr.replace("$fleet", "lipsync").replace("$job_id", watched.running)


@pytest.fixture(scope="module")
def moment(watched: WatchedFleet) -> str:
    """When all that is asked has an answer: after a scrape that a busy machine missed, there is none for a while.

    If that never comes, the tests say what lacks one.
    """
    asked = [filled(expr, watched) for _, title, expr in QUERIES if title not in EMPTY]
    asked += [name for name in rules("record") if name not in UNRECORDED]
    at = [""]

    def complete() -> bool:
        at[0] = str(time.time())
        return all(watched.prometheus.query(expr, at[0]) for expr in asked)

    with suppress(TimeoutError):
        wait_until(complete, 60, "an answer to every query")
    return at[0]


def test_there_is_a_dashboard_for_each_audience() -> None:
    assert FILES.keys() == BOARDS.keys() == {"lipsync-operator", "lipsync-job"}


@pytest.mark.parametrize("name", BOARDS)
def test_the_files_are_what_the_code_writes(name: str) -> None:
    assert write(BOARDS[name].build()) == FILES[name].read_text()


@pytest.mark.parametrize("name", FILES)
def test_every_panel_says_what_it_is_in_which_unit_and_has_a_place_of_its_own(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    titles = [panel["title"] for panel in panels(name)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", FILES)
def test_every_query_asks_for_one_fleet_and_the_job_s_for_the_job(name: str) -> None:
    document = json.loads(FILES[name].read_text())
    variables = {variable["name"] for variable in document["templating"]["list"]}
    assert variables == {"datasource", "fleet"} | ({"job_id"} if name == job.NAME else set())
    for panel in panels(name):
        for target in panel["targets"]:
            expr = target["expr"]
            asked = len(re.findall(r"(?:lipsync_\w+|ALERTS|:\w+)\{", expr))
            assert asked and expr.count('job="$fleet"') == asked, expr
            assert ('job_id="$job_id"' in expr) == ("lipsync_job_" in expr), expr


def test_every_query_is_promql(tmp_path: Path) -> None:
    asked = [{"record": f"asked:{number}", "expr": expr} for number, (_, _, expr) in enumerate(QUERIES)]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout
    path.write_text(path.read_text().replace("sum by", "sum bye"))
    assert promtool("check", "rules", path).returncode != 0


def test_the_settings_that_ship_are_ones_that_prometheus_and_alertmanager_take() -> None:
    done = promtool("check", "config", MONITORING / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    amtool = subprocess.run(
        ["amtool", "check-config", MONITORING / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert amtool.returncode == 0, amtool.stdout + amtool.stderr
    document = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    named = set(re.findall(r"Lipsync\w+", str(document["inhibit_rules"])))
    assert named <= ALERTS.keys()


def test_grafana_s_provisioning_names_what_is_there() -> None:
    (source,) = yaml.safe_load((MONITORING / "grafana" / "datasources" / "lipsync.yml").read_text())["datasources"]
    scraped = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["type"] == "prometheus" and source["jsonData"]["timeInterval"] == scraped
    (provider,) = yaml.safe_load((MONITORING / "grafana" / "dashboards" / "lipsync.yml").read_text())["providers"]
    assert provider["type"] == "file" and provider["options"]["path"]


@pytest.mark.parametrize(("name", "title", "expr"), QUERIES, ids=[f"{name}: {title}" for name, title, _ in QUERIES])
def test_a_real_fleet_answers(name: str, title: str, expr: str, watched: WatchedFleet, moment: str) -> None:
    found = watched.prometheus.query(filled(expr, watched), moment)
    assert bool(found) == (title not in EMPTY), f"{title}: {expr} gave {found}"


def test_every_rule_is_evaluated_on_a_real_fleet(watched: WatchedFleet, moment: str) -> None:
    (recording, alerting) = sorted(
        watched.prometheus.ask("rules")["groups"], key=lambda group: group["name"], reverse=True
    )
    for rule in [*recording["rules"], *alerting["rules"]]:
        assert rule["health"] == "ok" and not rule.get("lastError"), rule
    silent = {name for name in rules("record") if not watched.prometheus.query(name, moment)}
    assert silent == UNRECORDED.keys()


def test_the_alert_of_a_poisoned_job_fires_and_the_others_do_not(watched: WatchedFleet) -> None:
    for rule in ALERTS.values():
        watched.prometheus.query(rule["expr"])

    def firing() -> set[str]:
        alerts = watched.prometheus.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    wait_until(firing, 60, "an alert")
    assert firing() == {"LipsyncPoison"}
