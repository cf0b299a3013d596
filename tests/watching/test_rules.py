"""The rules through the real promtool: each alert is shown firing and not firing, and what breaks is noticed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import missing

MONITORING = Path(__file__).parents[2] / "infra" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
CASES = sorted((MONITORING / "tests").glob("*.yml"))


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Rules of all files by name: `alert` or `record`."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


ALERTS = rules("alert")


def promtool(*arguments: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        missing("promtool is not installed; Debian's package prometheus has it")
    return subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, text=True, timeout=60, check=False
    )


def expectations(alert: str) -> list[tuple[Path, list[dict[str, Any]]]]:
    """What the unit tests expect of an alert, with the file that says so."""
    return [
        (path, case["exp_alerts"])
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert
    ]


def test_the_rules_are_free_of_what_promtool_finds() -> None:
    done = promtool("check", "rules", "--lint-fatal", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_unit_tests_of_the_rules_pass(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_is_how_bad_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["summary"]) < 70 and len(rule["annotations"]["description"]) > 40
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()
    assert rule["annotations"]["runbook_url"] == f"docs/operating.md#alert-{kebab}"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_shown_firing_and_not_firing(alert: str) -> None:
    expected = [bool(alerts) for _, alerts in expectations(alert)]
    assert True in expected and False in expected


@pytest.mark.parametrize("broken", ["vector(0) > 1", "vector(1)"], ids=["never fire", "always fire"])
@pytest.mark.parametrize("path", [path for path in CASES if path.stem != "recording"], ids=lambda path: path.stem)
def test_the_unit_tests_notice_alerts_that(broken: str, path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "monitoring"
    for folder in ("rules", "tests"):
        shutil.copytree(MONITORING / folder, copy / folder)
    document = yaml.safe_load((copy / "rules" / "alerts.yml").read_text())
    for rule in document["groups"][0]["rules"]:
        rule["expr"] = broken
        if broken == "vector(1)":
            rule.pop("for", None)
    (copy / "rules" / "alerts.yml").write_text(yaml.safe_dump(document))
    done = promtool("test", "rules", copy / "tests" / path.name)
    noticed = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert noticed == {alert for alert in ALERTS if any(case == path for case, _ in expectations(alert))}


def test_every_recording_rule_is_tested_and_says_its_level_its_metric_and_what_was_done() -> None:
    tested = (MONITORING / "tests" / "recording.yml").read_text()
    for name in rules("record"):
        assert re.fullmatch(r"(fleet|worker|host|stage):lipsync_\w+:\w+", name)
        assert name in tested
