"""How many frames are drawn at once: the choice among rates, and the trial that finds them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from infra.errors import Failed
from infra.settings import Settings
from tests.onnx_graphs import Net
from workers import batches
from workers.avatar.pack import Pack
from workers.batches import best, choose_batch, try_batches

Pictures = npt.NDArray[np.uint8]


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ({1: 100.0}, 1),
        ({1: 100.0, 2: 104.0}, 1),
        ({1: 100.0, 2: 106.0}, 2),
        ({1: 100.0, 2: 104.0, 4: 108.0}, 4),
        ({1: 100.0, 2: 190.0, 4: 350.0, 8: 360.0, 16: 355.0}, 4),
        ({1: 100.0, 2: 190.0, 4: 150.0}, 2),
        ({8: 300.0, 1: 100.0, 4: 290.0}, 4),
        ({1: 0.0, 2: 0.0}, 1),
    ],
)
def test_the_smallest_batch_is_chosen_after_which_none_is_worth_it(rates: dict[int, float], chosen: int) -> None:
    assert best(rates) == (chosen, rates[chosen])


@pytest.fixture(scope="module")
def crops() -> Pictures:
    return np.random.default_rng(4).integers(0, 256, (2, 328, 328, 3), np.uint8)


@pytest.fixture
def house(settings: Settings, tmp_path: Path) -> Settings:
    """A cache of its own, for what is kept in it is looked at."""
    return settings.model_copy(update={"cache": tmp_path / "cache", "batch": 0})


def test_batches_are_tried_until_one_is_no_faster(small_pack: Pack, crops: Pictures, house: Settings) -> None:
    rates = try_batches(small_pack, crops, house, (1, 2, 4, 8, 16), trial_s=0.02)
    tried = list(rates)
    assert tried == [1, 2, 4, 8, 16][: len(tried)]
    assert all(rate > 0 for rate in rates.values())
    rising = list(rates.values())
    assert all(rate == max(rising[: place + 1]) for place, rate in enumerate(rising[:-1]))
    assert not house.cache.exists(), "the halves of trials are not kept"


def insisting_on_one(folder: Path) -> Path:
    """A generator that cannot draw two frames at once."""
    net = Net({"input": [1, 6, 320, 320], "audio": [1, 32, 16, 16]})
    same = net.node("Reshape", net.conv("input", 6, 3), net.constant(np.array([1, 3, 320, 320], np.int64)))
    lit = net.node("Add", same, net.conv(net.node("GlobalMaxPool", "audio"), 32, 3))
    path = folder / "generator.onnx"
    onnx.save(net.model(net.node("Sigmoid", lit)), path)
    return path


def pack_with(generator: bytes, like: Pack, folder: Path) -> Pack:
    pack = Pack(folder, like.spec, like.digest)
    pack.generator.parent.mkdir(parents=True, exist_ok=True)
    pack.generator.write_bytes(generator)
    return pack


def test_a_batch_that_cannot_be_drawn_ends_the_trial(
    small_pack: Pack, crops: Pictures, house: Settings, tmp_path: Path
) -> None:
    pack = pack_with(insisting_on_one(tmp_path).read_bytes(), small_pack, tmp_path)
    assert list(try_batches(pack, crops, house, (1, 2, 4), trial_s=0.01)) == [1]


def test_a_generator_that_cannot_draw_a_single_frame_fails(
    small_pack: Pack, crops: Pictures, house: Settings, tmp_path: Path
) -> None:
    pack = pack_with(b"", small_pack, tmp_path)
    with pytest.raises(Failed, match="cannot be loaded"):
        try_batches(pack, crops, house, (1, 2), trial_s=0.01)


def test_what_was_set_is_taken_and_a_cpu_draws_one_at_a_time(
    small_pack: Pack, crops: Pictures, house: Settings
) -> None:
    assert choose_batch(small_pack, crops, house.model_copy(update={"batch": 5})) == (5, None)
    assert choose_batch(small_pack, crops, house) == (1, None)
    assert not house.cache.exists()


@pytest.fixture
def _an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is made as on an accelerator, while the trial itself runs on the CPU."""
    monkeypatch.setattr(batches, "wanted_provider", lambda _: "cuda")
    monkeypatch.setattr(batches, "CANDIDATES", (1, 2))


@pytest.mark.usefixtures("_an_accelerator")
def test_what_a_trial_found_is_kept_for_all_processes_of_a_host(
    small_pack: Pack, crops: Pictures, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = choose_batch(small_pack, crops, house)
    (kept,) = (house.cache / "batches").iterdir()
    assert found.frames in {1, 2} and found.frames_per_s and found.frames_per_s > 0
    assert small_pack.digest in kept.name and "cuda" in kept.name and "float32" in kept.name
    monkeypatch.setattr(batches, "try_batches", lambda *_: pytest.fail("it is known already"))
    assert choose_batch(small_pack, crops, house) == found


def test_tensorrt_draws_a_fixed_number_without_a_trial(
    small_pack: Pack, crops: Pictures, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "wanted_provider", lambda _: "tensorrt")
    assert choose_batch(small_pack, crops, house) == (batches.TENSORRT_BATCH, None)
    assert choose_batch(small_pack, crops, house.model_copy(update={"batch": 5})) == (5, None)


@pytest.mark.usefixtures("_an_accelerator")
@pytest.mark.parametrize(
    "content",
    [
        "",
        "[4,",
        "[]",
        "{}",
        "4",
        '{"frames": 4}',
        '["many", 1.0]',
        "[null, 1.0]",
        "[0, 1.0]",
        "[257, 1.0]",
        "[1e999, 1]",
    ],
)
def test_a_file_that_a_power_cut_left_broken_is_made_anew(
    content: str, small_pack: Pack, crops: Pictures, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "try_batches", lambda *_: {1: 10.0, 2: 30.0})
    assert choose_batch(small_pack, crops, house) == (2, 30.0)
    (kept,) = (house.cache / "batches").iterdir()
    whole = kept.read_text()
    kept.write_text(content)
    assert choose_batch(small_pack, crops, house) == (2, 30.0)
    assert kept.read_text() == whole
    assert list((house.cache / "batches").iterdir()) == [kept]


@pytest.mark.usefixtures("_an_accelerator")
@pytest.mark.parametrize("changed", [{"precision": "float16"}, {"cuda_graphs": True}])
def test_other_settings_have_a_batch_of_their_own(
    changed: dict[str, object], small_pack: Pack, crops: Pictures, house: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "try_batches", lambda *_: {1: 10.0, 2: 30.0})
    assert choose_batch(small_pack, crops, house) == (2, 30.0)
    monkeypatch.setattr(batches, "try_batches", lambda *_: {1: 30.0, 2: 10.0})
    assert choose_batch(small_pack, crops, house.model_copy(update=changed)) == (1, 30.0)
    assert choose_batch(small_pack, crops, house) == (2, 30.0)
