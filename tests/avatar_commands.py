"""`lipsync avatar` as a user runs it, and what it leaves in a store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from ulid import ULID

from infra.object_store import ObjectStore
from jobs.ledger import JobTicket
from jobs.ledger_memory import MemoryLedger
from jobs.states import JobState
from workers.avatar.commands import avatar_app


def answer(*arguments: object) -> Any:
    """The JSON document that a command prints, and nothing else on standard output."""
    result = CliRunner().invoke(avatar_app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def text(*arguments: object) -> str:
    result = CliRunner().invoke(avatar_app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def content(folder: Path) -> dict[str, bytes]:
    """Relative path → bytes of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key) for info in store.list("")}


def job_of(ledger: MemoryLedger, digest: str, *states: JobState) -> str:
    """Open a job and move it through some states."""
    job = ledger.open(JobTicket(str(ULID()), 1, 10, 3, digest, "me"))
    for state in states:
        assert ledger.move(job, state) is state
    return job


def between(monkeypatch: pytest.MonkeyPatch, store: ObjectStore, key: str, act: Callable[[], object]) -> None:
    """Let something happen just before a key of the store is deleted for the first time."""
    real = store.delete

    def delete(deleted: str) -> None:
        if deleted == key:
            monkeypatch.setattr(store, "delete", real)
            act()
        real(deleted)

    monkeypatch.setattr(store, "delete", delete)
