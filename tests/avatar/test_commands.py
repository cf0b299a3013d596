"""The `avatar` commands, called as the command line calls them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.errors import Rejected
from tests import avatar_sources as made
from workers.avatar.commands import avatar_app

SYNTH = ["synth", "--name", "tiny", "--small", "--size", "96x64", "--frames", "2"]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("LIPSYNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")
    monkeypatch.setenv("LIPSYNC_THREADS", "1")


def answer(*arguments: str, code: int = 0) -> Any:
    """The JSON document that a command prints, and nothing else on standard output."""
    result = CliRunner().invoke(avatar_app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_drawn_avatar_is_published_listed_and_found_sound() -> None:
    drawn = answer(*SYNTH)
    assert (drawn["name"], drawn["frames"], drawn["width"], drawn["layout"]) == ("tiny", 2, 96, "synthetic")
    (listed,) = answer("list")
    assert listed.items() >= drawn.items()
    checked = answer("check", "tiny")
    assert (checked["target"], checked["usable"]) == ("tiny", True)
    assert {finding["code"] for finding in checked["findings"]} == made.OF_SMALL_AVATARS
    assert answer("check", drawn["digest"][:8])["usable"]


def test_an_imported_avatar_tells_its_repairs(tmp_path: Path, networks: tuple[Path, Path]) -> None:
    source = made.training_folder(tmp_path / "source")
    (source / "landmarks/2.lms").unlink()
    options = ["--generator", str(networks[0]), "--audio-encoder", str(networks[1]), "--licence", "all mine"]
    imported = answer("import", str(source), "--name", "anna", *options)
    assert (imported["licence"], imported["layout"], len(imported["repairs"])) == ("all mine", "training-folder", 1)
    assert imported["repairs"] == ["missing-landmarks: 1 of 6 frames, 2"]
    repaired = [finding for finding in answer("check", "anna")["findings"] if finding["level"] == "repair"]
    assert [finding["fact"] for finding in repaired] == imported["repairs"]
    assert repaired[0]["sentence"] == "Repaired when it was imported: missing-landmarks: 1 of 6 frames, 2"
    told = CliRunner().invoke(avatar_app, ["import", str(source), "--name", "anna", *options]).stderr
    assert "repair: 1 of 6 template frames have no landmarks (2): they take" in told, "people are told a sentence"
    assert [row["name"] for row in answer("list")] == ["anna"]


def test_checking_exits_with_2_when_the_avatar_cannot_be_used(tmp_path: Path) -> None:
    document = answer("check", "nobody", code=2)
    assert not document["usable"]
    assert "There is no avatar 'nobody'" in document["findings"][0]["sentence"]


def test_a_source_that_lacks_a_network_can_be_imported_as_the_verdict_says(
    tmp_path: Path, networks: tuple[Path, Path]
) -> None:
    source = made.server_layout(tmp_path / "source", networks[0])
    result = CliRunner().invoke(avatar_app, ["check", str(source)])
    assert result.exit_code == 0
    assert f"{source} can be imported with --audio-encoder FILE: " in result.stdout
    answer("import", str(source), "--name", "anna", "--audio-encoder", str(networks[1]))


def test_a_check_that_failed_says_neither_yes_nor_no(
    tmp_path: Path, networks: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made.server_layout(tmp_path / "source", networks[0])
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "encoder.pth").write_bytes(b"")
    document = answer("check", str(source), "--audio-encoder", str(tmp_path / "encoder.pth"), code=2)
    assert document["usable"] is None


def test_an_avatar_that_submit_would_refuse_for_want_of_a_consent_cannot_be_used(
    tmp_path: Path, networks: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made.server_layout(tmp_path / "source", networks[0])
    answer("import", str(source), "--name", "anna", "--audio-encoder", str(networks[1]))
    assert answer("check", "anna")["usable"]
    monkeypatch.setenv("LIPSYNC_REQUIRE_CONSENT", "1")
    assert answer("check", "anna", code=2)["usable"] is False


def test_a_pack_is_published_under_another_licence(tmp_path: Path) -> None:
    answer(*SYNTH)
    pulled = answer("pull", "tiny", "--to", str(tmp_path / "tiny-pack"))
    given = answer("import", pulled["folder"], "--name", "tiny", "--licence", "CC-BY")
    assert given["licence"] == "CC-BY" and given["digest"] != pulled["digest"]
    assert answer("import", pulled["folder"], "--name", "tiny")["digest"] == pulled["digest"]


@pytest.mark.parametrize(
    "arguments",
    [["synth", "--name", "tiny", "--size", "96"], ["synth", "--name", "Not a name"], ["import", ".", "--name", "../x"]],
)
def test_a_wrong_call_is_refused_before_any_work(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        CliRunner().invoke(avatar_app, arguments, catch_exceptions=False)
    assert not (tmp_path / "store").exists()


def test_an_avatar_that_fails_is_given_no_name(tmp_path: Path) -> None:
    source = made.training_folder(tmp_path / "source")
    with pytest.raises(Rejected, match="--generator"):
        CliRunner().invoke(avatar_app, ["import", str(source), "--name", "anna"], catch_exceptions=False)
    assert answer("list") == []
