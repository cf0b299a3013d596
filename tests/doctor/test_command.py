"""`lipsync doctor` as an operator and a playbook meet it."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.errors import Failed
from workers.doctor.command import describe
from workers.doctor.examination import Examination, guarded
from workers.doctor.findings import error, warning
from workers.doctor.outcome import Outcome

CHECKS = [
    "settings",
    "versions",
    "processor",
    "memory",
    "cache",
    "temp",
    "device",
    "canary",
    "codecs",
    "redis",
    "store",
]


def doctor(*arguments: str, code: int = 0) -> str:
    """Run the command in this environment."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "doctor", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stderr == ""
    return done.stdout


def document(*arguments: str, code: int = 0) -> Any:
    return json.loads(doctor(*arguments, "--json", code=code))


def errors(found: Any) -> set[str]:
    return {finding["code"] for finding in found["findings"] if finding["level"] == "error"}


def test_a_fit_host_is_told_so(host: Path) -> None:
    found = document()
    assert found["fit"] is True and errors(found) == set()
    assert list(found["checks"]) == CHECKS[1:]
    assert found["checks"]["device"]["provider"] == "cpu"
    assert found["checks"]["canary"]["proved"] == ["demo"]
    assert found["checks"]["codecs"]["libx264"] is True
    text = doctor()
    heads = [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]
    assert heads[: len(CHECKS) - 1] == CHECKS[1:]
    assert re.search(r"^This host is fit: .+ \(\d+\.\d s\)\.$", text, re.MULTILINE)


def test_a_host_that_has_yet_to_join_asks_nobody(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("LIPSYNC_REDIS_URL", f"redis://{address}/0")
        monkeypatch.setenv("LIPSYNC_STORE", "s3://bucket")
        monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", f"http://{address}")
        monkeypatch.setenv("LIPSYNC_AVATARS", "anna")
        found = document("--offline")
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert found["checks"]["redis"] == found["checks"]["store"] == {"asked": False}
    assert ("note", "not-checked") in {(finding["level"], finding["code"]) for finding in found["findings"]}


def test_when_everything_is_away_the_host_itself_is_still_looked_at_and_soon(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("LIPSYNC_REDIS_URL", f"redis://{address}/0")
        monkeypatch.setenv("LIPSYNC_STORE", "s3://bucket")
        monkeypatch.setenv("LIPSYNC_S3_ENDPOINT", f"http://{address}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        found = document(code=3)
    assert errors(found) == {"redis-unreachable", "store-unreachable"}
    assert found["checks"]["canary"]["proved"] == ["demo"]
    assert found["seconds"] < 20 + found["checks"]["canary"]["seconds"]  # which a busy machine draws out


def test_settings_that_cannot_be_used_hide_nothing_else(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_BATCH", "9999")
    monkeypatch.setenv("LIPSYNC_REDIS_URL", "http://a-secret@elsewhere")
    monkeypatch.setenv("LIPSYNC_DEVCE", "1")
    monkeypatch.setenv("LIPSYNC_AVATARS", "nobody")
    found = document(code=2)
    assert errors(found) == {"setting-unusable", "avatar-unusable"}
    sentences = " ".join(finding["sentence"] for finding in found["findings"])
    assert all(name in sentences for name in ("LIPSYNC_BATCH", "LIPSYNC_REDIS_URL", "write LIPSYNC_DEVICE"))
    assert "a-secret" not in json.dumps(found)
    assert found["checks"]["redis"] == {"asked": False} and found["checks"]["store"]["done"]


def test_a_store_that_cannot_be_named_is_told(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_STORE", "ftp://elsewhere")
    assert errors(document(code=2)) == {"setting-unusable"}


def test_what_a_check_did_not_foresee_does_not_hide_the_others() -> None:
    def bug() -> Outcome:
        raise ZeroDivisionError("by zero")

    def refusal() -> Outcome:
        raise Failed("It is broken.")

    (found,) = guarded("memory", bug).findings
    assert (found.level, found.code) == ("error", "check-failed")
    assert "The check of memory met an unexpected ZeroDivisionError (by zero)" in found.sentence
    assert guarded("memory", refusal).findings[0].sentence == "It is broken."


def test_people_read_a_table_whose_columns_stand_below_each_other() -> None:
    outcomes = {
        "settings": Outcome(findings=(warning("setting-unknown", "One word after the other " * 8),)),
        "cache": Outcome("/var/cache: 12.0 GB free", {}, (error("cache-full", "The disk is full."),)),
    }
    text = describe(Examination(outcomes, 1.25), width=80).splitlines()
    assert text[0] == "cache      /var/cache: 12.0 GB free"
    assert text[2] == "error    cache-full           The disk is full."
    assert text[3].startswith("warning  setting-unknown      One word")
    assert all(line.startswith(" " * 30) for line in text[4:-2])
    assert max(map(len, text)) <= 80
    assert text[-1] == "This host is not fit: 1 error, 1 warning (1.2 s)."


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    outcomes = {"store": Outcome("file:///a\x1b[31mb")}
    assert "\x1b" not in describe(Examination(outcomes, 0.0), width=80)


def test_a_narrow_terminal_is_not_overrun(host: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "doctor", "--offline"],
        env=os.environ | {"COLUMNS": "70"},
        capture_output=True,
        text=True,
        check=True,
    )
    sentences = [line for line in done.stdout.splitlines() if "/" not in line]  # paths are not broken
    assert max(map(len, sentences)) <= 70
