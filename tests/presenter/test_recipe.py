"""The recipe of the demo avatar, from nothing to a pack, with so little training that nothing is learnt."""

import json
from pathlib import Path

import numpy as np
import pytest

from infra.settings import Settings
from workers.avatar.checking import check
from workers.avatar.pack import open_pack

pytestmark = pytest.mark.usefixtures("skia", "torch")

CLIPS = sorted((Path(__file__).parent.parent / "data" / "lip_sync").iterdir())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(cache=tmp_path_factory.mktemp("cache"), providers="cpu", threads=1, batch=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Path:
    from workers.presenter.recipe import Effort, make_demo_avatar

    folder = tmp_path_factory.mktemp("made") / "avatar"
    make_demo_avatar(folder, Effort(hearing_steps=2, painting_steps=2, clips=20), 5, settings)
    return folder


def test_the_recipe_makes_a_pack_that_can_be_used(made: Path, settings: Settings) -> None:
    pack = open_pack(made / "demo", (made / "demo.sha256").read_text().strip())
    assert pack.spec.frame_count == 100
    assert not [finding for finding in check(pack.root, settings) if finding.level == "error"]


def test_the_same_seed_gives_the_same_avatar(made: Path, settings: Settings, tmp_path: Path) -> None:
    import torch

    from workers.presenter.recipe import Effort, make_demo_avatar

    again = tmp_path / "again"
    make_demo_avatar(again, Effort(hearing_steps=2, painting_steps=2, clips=20), 5, settings)
    names = ["demo/template.mp4", "speech.flac", *(f"lip_sync/{path.name}" for path in CLIPS)]
    assert [name for name in names if (again / name).read_bytes() != (made / name).read_bytes()] == []
    # Seen within full runs of the tests, never alone, and not explained: the hearing's last digits differed.
    for half in ("hearing.pt", "painter.pt"):
        first, second = (torch.load(folder / half, weights_only=True) for folder in (made, again))
        assert all(torch.allclose(value, second[name], atol=1e-3) for name, value in first.items())


@pytest.mark.parametrize("name", [path.name for path in CLIPS if path.suffix == ".json"])
def test_the_clips_that_ship_are_the_ones_of_the_recipe(name: str, made: Path) -> None:
    shipped, again = (json.loads((folder / name).read_text()) for folder in (CLIPS[0].parent, made / "lip_sync"))
    assert (shipped["text"], shipped["voice"]) == (again["text"], again["voice"])
    # Another espeak-ng speaks slightly otherwise; its mouth opens as often and as wide.
    assert again["frames"] == pytest.approx(shipped["frames"], rel=0.05)
    assert np.mean(again["open"]) == pytest.approx(np.mean(shipped["open"]), rel=0.1)


def test_the_recipe_knows_what_is_not_good_enough() -> None:
    from workers.presenter.recipe import Figures, shortcomings

    good = Figures("anyone", 250, 0.9, 0, 0.1, 0.1, 33.0, 0.5, 0)
    assert shortcomings([good]) == []
    for worse in ({"correlation": 0.6}, {"lag_frames": 1}, {"late": 0.4}, {"border_step": 3.0}, {"outside": 1}):
        assert shortcomings([good, good, good._replace(**worse)]), worse


def test_shipping_replaces_what_was_there(made: Path, tmp_path: Path) -> None:
    from workers.presenter.recipe import ship

    stale = tmp_path / "workers" / "data" / "demo" / "stale.onnx"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (tmp_path / "tests" / "data").mkdir(parents=True)
    ship(made, tmp_path)
    digest = (tmp_path / "workers" / "data" / "demo.sha256").read_text().strip()
    assert open_pack(tmp_path / "workers" / "data" / "demo", digest).spec.frame_count == 100
    assert sorted(path.name for path in (tmp_path / "tests" / "data").iterdir()) == ["lip_sync"]


def test_what_was_made_is_measured(made: Path, settings: Settings) -> None:
    from workers.presenter.recipe import measure
    from workers.presenter.speech.held_out import short_clips

    (found,) = measure(open_pack(made / "demo"), short_clips()[:1], settings)
    assert found.outside == 0 and found.border_step < 2  # untrained lips may do what they like, within their window
    assert found.frames > 100
