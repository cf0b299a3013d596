"""Settings, keys, layouts and events are documented as the code has them."""

import json
import re
from pathlib import Path

import pytest

from infra.settings import Settings
from jobs import keys
from jobs.avatar_spec import Provenance
from jobs.ledger import REMOVAL_TTL_S
from jobs.ledger_redis import KEEP_ENDED_S
from tests.docs.pages import AVATARS, PAGES, REFERENCE, ROOT, fences, named, rows
from tests.servers import moto_server

TEST_VARIABLES = {"LIPSYNC_TEST_SWIFT", "LIPSYNC_TEST_ROOT", "LIPSYNC_TEST_RELEASES"}


def default_of(name: str) -> str:
    """How the documentation spells a default."""
    if name in {"home", "cache"}:
        return {"home": "`~/.local/share/lipsync-fleet`", "cache": "`~/.cache/lipsync-fleet`"}[name]
    value = Settings.model_fields[name].default
    if value is None:
        return "unset"
    return "empty" if value in {"", ()} else f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    _, default, meaning = rows(REFERENCE, "variable")[f"`LIPSYNC_{name.upper()}`"]
    assert default == default_of(name) and len(meaning) > 20


@pytest.mark.parametrize("variable", ["XDG_DATA_HOME", "XDG_CACHE_HOME"])
def test_the_folders_that_are_documented_are_taken(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "LIPSYNC_HOME", "LIPSYNC_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings()
    assert (settings.home, settings.cache) == (
        tmp_path / ".local/share/lipsync-fleet",
        tmp_path / ".cache/lipsync-fleet",
    )
    monkeypatch.setenv(variable, "/elsewhere")
    assert Path("/elsewhere/lipsync-fleet") in {Settings().home, Settings().cache}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_variable_that_is_mentioned_exists(page: Path) -> None:
    known = {f"LIPSYNC_{name.upper()}" for name in Settings.model_fields} | TEST_VARIABLES
    assert set(re.findall(r"LIPSYNC_[A-Z0-9_]+", page.read_text())) <= known


def test_every_key_of_the_ledger_is_documented() -> None:
    head = (ROOT / "jobs" / "lua" / "head.lua").read_text()
    page = REFERENCE.read_text()
    suffixes = re.findall(r"J \.\. '(:\w+)'", head)
    assert len(suffixes) == 11
    for key in [keys.LEDGER + "job:<job>" + suffix for suffix in ("", *suffixes)]:
        assert f"`{key}`" in page
    workers = (keys.WORKERS, keys.SEEN, keys.FACTS, keys.DRAINED, keys.TALLIES)
    for key in (keys.JOBS, keys.ACTIVE, *workers, f"{keys.TURNS}dispatch", keys.QUEUE):
        assert f"`{key}`" in page
    assert f"`{keys.ledger_removal('0' * 64).replace('0' * 64, '<digest>')}`" in page
    assert REMOVAL_TTL_S == 60 and "for a minute unless prolonged" in page
    assert KEEP_ENDED_S == 7 * 24 * 3600 and "after seven days" in page


def test_every_place_in_the_store_is_documented() -> None:
    page = REFERENCE.read_text()
    job, digest = "0" * 26, "0" * 64
    for make in (keys.manifest, keys.encoded_audio, keys.video, keys.tombstone):
        assert f"`{make(job).replace(job, '<job>')}`" in page
    for beside in (keys.canary, keys.exports):
        assert f"`{beside(digest).replace(digest, '<digest>')}`" in page
    assert f"`{keys.avatar_pointer('name').replace('/name.', '/<name>.')}`" in page
    assert f"`{keys.release_record('0' * 16).replace('0' * 16, '<id>')}`" in page
    release = [keys.release_file("0" * 16, form) for form in ("squashfs", "tar.zst", "bom")]
    for key in (keys.result(job), keys.job_audio(job), *release):
        assert f"`{key.rpartition('/')[2]}`" in page


def test_every_layout_of_a_source_is_documented() -> None:
    layouts = {"training-folder": "training folder", "package-v2": "package v2", "server": "server layout"}
    imported = set(Provenance.model_fields["layout"].annotation.__args__) - {"synthetic", "drawn"}  # type: ignore[union-attr]
    assert imported == layouts.keys()
    assert set(layouts.values()) < rows(AVATARS, "layout").keys()


def test_events_that_are_documented_are_logged() -> None:
    events = {event for cell in rows(REFERENCE, "event") for event in re.findall(r"`(\w+)`", cell)}
    logged = {
        event
        for path in (ROOT / "workers").rglob("*.py")
        for event in re.findall(r"log\.\w+\(\s*\"(\w+)\"", path.read_text())
    }
    assert events <= logged


def test_the_rule_for_unfinished_uploads_is_one_that_s3_takes(tmp_path: Path) -> None:
    (rule,) = (json.loads(block) for block in fences(REFERENCE, "json"))
    with moto_server(tmp_path) as server:
        client, bucket = server.client(), server.make_bucket()
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rule)
        (kept,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert kept["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
