"""The contact sheet: what it shows is what a job renders, and where it goes is what a user expects."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from infra.errors import Failed, Rejected
from infra.object_store import ObjectStore
from infra.settings import Settings
from jobs.avatar_spec import AVATAR_JSON, Provenance
from jobs.submit import JobRequest
from tests import avatar_sources as made
from workers.avatar.commands import avatar_app
from workers.avatar.contact_sheet import WIDTH_PX, Cell, Section, contact_sheet, outline
from workers.avatar.pack import Pack, publish
from workers.avatar.preview import speak, spread, write_preview
from workers.avatar.synthetic import make_synthetic
from workers.local_render import Outputs, render_locally
from workers.render.template import template_index
from workers.warm import warm_up


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds of a tone that swells."""
    time_s = np.arange(32_000) / 16_000
    path = tmp_path / "speech.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 200 * time_s) * time_s, 16_000)
    return path


@pytest.fixture
def moving(tmp_path: Path) -> Pack:
    """A synthetic avatar of twelve frames."""
    (tmp_path / "moving").mkdir()
    return make_synthetic(tmp_path / "moving", frames=12, width=320, height=240, small=True)


def picture(path: Path) -> Any:
    sheet = cv2.imread(str(path))
    assert sheet is not None
    return sheet


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_a_pack_gets_a_sheet_of_the_kind_that_its_suffix_says(
    suffix: str, moving: Pack, settings: Settings, speech: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"sheet{suffix}"
    shown = write_preview(str(moving.root), out, settings, frames=5, audio=speech)
    assert shown == (moving.digest, (0, 3, 6, 8, 11), (8, 16, 24, 33, 41))
    assert picture(out).shape[1] == WIDTH_PX
    assert out.read_bytes().startswith(b"\x89PNG" if suffix == ".png" else b"\xff\xd8")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_the_mouths_are_those_of_a_job(moving: Pack, settings: Settings, speech: Path, tmp_path: Path) -> None:
    render_locally(
        JobRequest(audio=speech),
        str(moving.root),
        Outputs(frames=tmp_path / "job"),
        settings,
        lambda *_: None,
        (0, None),
    )
    mouths = list(speak(warm_up(moving, settings), speech, 4))
    assert len(mouths) == 4
    for mouth in mouths:
        assert mouth.template_frame == template_index(mouth.output_frame, 12)
        assert np.array_equal(mouth.picture, picture(tmp_path / f"job/{mouth.output_frame:06d}.png"))


def test_an_avatar_is_found_by_name_and_digest_and_says_the_clip_that_ships(
    moving: Pack, settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    publish(moving, store, "anna")
    by_name = write_preview("anna", tmp_path / "name.png", settings, frames=2)
    by_digest = write_preview(moving.digest[:12], tmp_path / "digest.png", settings, frames=2)
    assert by_name == by_digest
    assert max(by_name.output_frames) > 200, "the clip that ships lasts longer than eight seconds"


def test_a_file_is_replaced_only_once_the_sheet_is_done(
    moving: Pack, settings: Settings, speech: Path, tmp_path: Path
) -> None:
    out, short = tmp_path / "sheet.png", tmp_path / "short.wav"
    out.write_bytes(b"an earlier sheet")
    soundfile.write(short, np.zeros(100), 16_000)
    with pytest.raises(Rejected, match="short"):
        write_preview(str(moving.root), out, settings, audio=short)
    assert out.read_bytes() == b"an earlier sheet"
    write_preview(str(moving.root), out, settings, audio=speech, frames=1)
    assert picture(out).shape[1] == WIDTH_PX


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sheet.gif", r"sheet\.gif has no suffix of a picture: name a file that ends with \.png"),
        ("sheet", "has no suffix of a picture"),
        ("folder.png", "is a folder: name a file for the picture"),
        ("nowhere/sheet.png", "is not a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    name: str, sentence: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(Rejected, match=sentence):
        write_preview("nobody", tmp_path / name, settings)
    assert not settings.cache.exists()


def test_a_source_is_not_yet_an_avatar(settings: Settings, tmp_path: Path) -> None:
    source = made.training_folder(tmp_path / "source")
    with pytest.raises(Rejected, match="import it first"):
        write_preview(str(source), tmp_path / "sheet.png", settings)


def test_a_damaged_pack_gives_no_sheet(moving: Pack, settings: Settings, tmp_path: Path) -> None:
    (moving.root / "frames/000003.jpg").write_bytes(b"")
    with pytest.raises(Failed, match=r"000003\.jpg was changed"):
        write_preview(str(moving.root), tmp_path / "sheet.png", settings)


def test_nothing_is_drawn_without_a_consent_where_one_is_required(
    moving: Pack, settings: Settings, tmp_path: Path
) -> None:
    shown = moving.spec.model_copy(update={"provenance": Provenance(layout="server")})
    (moving.root / AVATAR_JSON).write_bytes(shown.to_bytes())
    with pytest.raises(Rejected, match="consent"):
        required = settings.model_copy(update={"require_consent": True})
        write_preview(str(moving.root), tmp_path / "sheet.png", required)
    assert not (tmp_path / "sheet.png").exists()


def test_the_command_tells_what_is_on_the_sheet(
    moving: Pack, settings: Settings, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSYNC_CACHE", str(settings.cache))
    monkeypatch.setenv("LIPSYNC_PROVIDERS", "cpu")
    out = tmp_path / "sheet.png"
    call = ["preview", str(moving.root), "--out", str(out), "--frames", "2", "--audio", str(speech), "--json"]
    result = CliRunner().invoke(avatar_app, call, catch_exceptions=False)
    document = json.loads(result.stdout)
    assert (document["output"], document["digest"], document["template_frames"]) == (str(out), moving.digest, [0, 11])
    assert picture(out).shape[1] == WIDTH_PX


@pytest.mark.parametrize(
    ("total", "wanted", "indices"),
    [(1, 8, [0]), (3, 8, [0, 1, 2]), (100, 1, [0]), (100, 4, [0, 33, 66, 99]), (8, 8, list(range(8)))],
)
def test_frames_are_spread_from_the_first_to_the_last(total: int, wanted: int, indices: list[int]) -> None:
    assert spread(total, wanted) == indices


def test_the_outline_leaves_the_pixels_of_the_box_as_they_are() -> None:
    plain = made.picture(0, 960, 540)
    marked = outline(plain, (300, 100, 500, 300))
    assert np.array_equal(marked[100:300, 300:500], plain[100:300, 300:500])
    assert not np.array_equal(marked[99, 300:500], plain[99, 300:500])
    assert np.array_equal(plain, made.picture(0, 960, 540)), "the frame itself must stay as it is"


def test_cells_of_different_shapes_keep_their_proportions_and_stand_in_columns() -> None:
    red, green = (np.full((size, 100, 3), colour, np.uint8) for size, colour in ((50, (0, 0, 255)), (200, (0, 255, 0))))
    sheet = contact_sheet("wide and tall", "", [Section("two", 4, [Cell((red,), "ä"), Cell((green,), "b")])])
    areas = [(sheet == colour).all(axis=2) for colour in ((0, 0, 255), (0, 255, 0))]
    sizes = [(np.ptp(np.nonzero(area)[0]) + 1, np.ptp(np.nonzero(area)[1]) + 1) for area in areas]
    (low, width), (high, same) = sizes
    assert width == same and abs(low * 2 - width) <= 1 and abs(high - width * 2) <= 1
    assert areas[0].sum() == low * width, "nothing may be written over a picture"
