"""The `avatar` commands, called as the command line calls them."""

import json
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
    repaired = [finding for finding in answer("check", "anna")["findings"] if finding["level"] == "repair"]
    assert [finding["sentence"] for finding in repaired] == imported["repairs"]
    assert [row["name"] for row in answer("list")] == ["anna"]


def test_checking_exits_with_2_when_the_avatar_cannot_be_used(tmp_path: Path) -> None:
    document = answer("check", "nobody", code=2)
    assert not document["usable"]
    assert "There is no avatar 'nobody'" in document["findings"][0]["sentence"]


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
