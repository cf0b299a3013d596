"""The painter draws the same whatever its bank holds, and the bank keeps to its room."""

import threading
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from infra.errors import Failed
from infra.settings import Settings
from jobs.timing import Span
from workers import painter as painter_module
from workers.avatar.networks.prepared import HalfFiles, cut_halves
from workers.avatar.pack import Pack
from workers.lip_model import load_generator
from workers.painter import Bank, Painter
from workers.pipeline import Part, paint
from workers.render.composite import face_picture
from workers.render.crop import network_input
from workers.sessions import open_session
from workers.stopwatch import Stage, Stopwatch
from workers.warm import cache_bytes, warm_up

Pictures = npt.NDArray[np.uint8]
FRAME_BYTES = 4 * 3 * 320 * 320
"""What the small generator keeps of a template frame."""


def bank(frames: int, budget_bytes: int, at_least: int = 1) -> Bank:
    """A bank of tensors of 100 and 28 bytes."""
    tensors = [
        SimpleNamespace(name="a", type="tensor(uint8)", shape=[1, 10, 10]),
        SimpleNamespace(name="b", type="tensor(float)", shape=[1, 7]),
    ]
    return Bank(tensors, frames, budget_bytes, at_least, ("cpu", 0))


def test_memory_that_is_not_there_is_named_with_the_setting() -> None:
    with pytest.raises(Failed, match=r"128000000000 MB for template frames .* lower LIPSYNC_CACHE_MB"):
        bank(10**15, 10**18)


class Filling:
    """Fills slots, and notes which template frame each was filled for."""

    def __init__(self, bank: Bank):
        self.bank, self.filled = bank, list[int]()
        self.holds: dict[int, int] = {}

    def visit(self, *template_frames: int) -> list[int]:
        """Template frames that had to be made for these visits."""
        before = len(self.filled)
        for frame in template_frames:

            def fill(slot: int, frame: int = frame) -> None:
                self.filled.append(frame)
                self.holds[slot] = frame

            slot = self.bank.slot(frame, fill)
            assert 0 <= slot < self.bank.room
            assert self.holds[slot] == frame
        return self.filled[before:]


@pytest.mark.parametrize(
    ("frames", "budget_bytes", "at_least", "room"),
    [
        (5, 10_000, 1, 5),
        (5, 5 * 128, 1, 5),
        (5, 5 * 128 - 1, 1, 4),
        (5, 127, 1, 1),
        (5, 0, 1, 1),
        (5, 0, 3, 3),
        (5, 300, 3, 3),
        (5, 600, 3, 4),
        (1, 10_000, 1, 1),
    ],
)
def test_a_bank_takes_what_it_may_and_what_one_run_needs(
    frames: int, budget_bytes: int, at_least: int, room: int
) -> None:
    found = bank(frames, budget_bytes, at_least)
    assert (found.frame_bytes, found.room, found.bytes) == (128, room, room * 128)
    assert {name: value.shape() for name, value in found.values.items()} == {"a": [room, 10, 10], "b": [room, 7]}
    assert found.bytes <= max(budget_bytes, at_least * 128)
    assert found.bytes == sum(value.numpy().nbytes for value in found.values.values())


def test_the_least_recently_used_template_frame_gives_way() -> None:
    filling = Filling(bank(9, 3 * 128))
    assert filling.visit(0, 1, 2, 0, 1, 2) == [0, 1, 2]
    assert filling.visit(0, 3, 0, 2, 1) == [3, 1]
    assert filling.visit(0, 1, 2, 3) == [3]


def test_a_walk_forwards_and_backwards_finds_the_last_frames_when_it_turns() -> None:
    filling = Filling(bank(10, 4 * 128))
    forwards = list(range(10))
    assert filling.visit(*forwards) == forwards
    assert filling.visit(*reversed(forwards)) == [5, 4, 3, 2, 1, 0]


def test_all_frames_stay_where_there_is_room() -> None:
    filling = Filling(bank(10, 10_000))
    filling.visit(*range(10))
    assert filling.visit(*np.random.default_rng(0).integers(0, 10, 100).tolist()) == []


@pytest.mark.parametrize("room", [1, 3])
@pytest.mark.parametrize("visited", [(), (0,), (0, 1, 2, 3)])
def test_what_could_not_be_made_is_not_taken_for_made(visited: tuple[int, ...], room: int) -> None:
    filling = Filling(bank(9, room * 128))

    def fail(_: int) -> None:
        raise Failed("out of memory")

    filling.visit(*visited)
    for _ in range(5):
        with pytest.raises(Failed):
            filling.bank.slot(7, fail)
    assert filling.visit(7, 8, 7, 5) == ([7, 8, 7, 5] if room == 1 else [7, 8, 5])
    filling.visit(*np.random.default_rng(0).integers(0, 9, 50).tolist())


Painters = Callable[[int, int], Painter]


@pytest.fixture(scope="module")
def crops() -> Pictures:
    return np.random.default_rng(4).integers(0, 256, (4, 328, 328, 3), np.uint8)


@pytest.fixture(scope="module")
def painters(
    networks: tuple[Path, Path], crops: Pictures, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Painters:
    """New painters of four template frames, by batch and budget."""

    @cache
    def files(batch: int) -> HalfFiles:
        return cut_halves(networks[0], tmp_path_factory.mktemp("halves"), settings, batch)

    return lambda batch, budget: Painter(files(batch), crops, settings, budget, batch)


@pytest.fixture(scope="module")
def expected(networks: tuple[Path, Path], crops: Pictures, settings: Settings) -> Callable[[Iterable[int]], Pictures]:
    """What the whole generator draws for template frames, the `n`-th of which hears `heard(n)`."""
    generator = load_generator(networks[0], settings)

    @cache
    def draw(frame: int, place: int) -> Pictures:
        return face_picture(generator.run(network_input(crops[frame])[None], heard(place)[None])[0])

    return lambda frames: np.stack([draw(frame, place) for place, frame in enumerate(frames)])


def heard(place: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(place).normal(0, 1, (32, 16, 16)).astype(np.float32)


def draw(painter: Painter, frames: list[int]) -> tuple[Pictures, int]:
    """The faces, and how many template frames had to go through the encoder half for them."""
    stopwatch = Stopwatch()
    faces = painter.paint(frames, np.stack([heard(place) for place in range(len(frames))]), stopwatch)
    assert len(stopwatch.laps(Stage.DECODER_HALF)) == -(-len(frames) // painter.batch)
    return faces, len(stopwatch.laps(Stage.ENCODER_HALF))


WALKS = [[0], [0, 1, 2, 3], [3, 2, 1, 0, 1, 2, 3], [1, 1, 1, 1], [0, 3, 0, 3, 0], [2, 0, 1, 3, 3, 0, 2, 1, 1, 0, 3]]


@pytest.mark.parametrize("budget_frames", [0, 1, 2, 4, 100])
@pytest.mark.parametrize("batch", [1, 3, 7])
def test_faces_do_not_depend_on_the_bank_or_the_batch(
    batch: int, budget_frames: int, painters: Painters, expected: Callable[[list[int]], Pictures]
) -> None:
    painter = painters(batch, budget_frames * FRAME_BYTES)
    assert painter.bank.frame_bytes == FRAME_BYTES
    assert painter.bank.bytes == FRAME_BYTES * min(4, max(budget_frames, batch))
    for walk in [*WALKS, *reversed(WALKS)]:
        faces, _ = draw(painter, walk)
        assert faces.shape == (len(walk), 320, 320, 3) and faces.dtype == np.uint8
        difference = np.abs(faces.astype(np.int16) - expected(walk))
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-4


@pytest.mark.parametrize("budget_frames", [0, 2, 100])
def test_the_bits_are_the_same_for_every_bank_and_batch(budget_frames: int, painters: Painters) -> None:
    walk = WALKS[-1]
    alone, _ = draw(painters(1, 10**9), walk)
    for batch in (1, 3, 7):
        assert np.array_equal(draw(painters(batch, budget_frames * FRAME_BYTES), walk)[0], alone), batch


@pytest.mark.parametrize(
    ("batch", "budget_frames", "walk", "encoded", "again"),
    [
        (1, 100, [0, 1, 0, 1], 2, 0),
        (1, 0, [0, 1, 0, 1], 4, 4),
        (1, 0, [0, 0, 1, 1], 2, 2),
        (3, 100, [0, 0, 0, 1, 1, 2], 3, 0),
        (3, 0, [0, 0, 0, 1, 1, 2], 3, 0),
        (3, 0, [0, 1, 2, 3, 0, 1], 6, 4),
        (7, 0, [0, 1, 2, 3, 0, 1, 2], 4, 0),
    ],
)
def test_a_template_frame_is_encoded_once_while_it_is_kept(
    batch: int, budget_frames: int, walk: list[int], encoded: int, again: int, painters: Painters
) -> None:
    painter = painters(batch, budget_frames * FRAME_BYTES)
    assert draw(painter, walk)[1] == encoded
    assert draw(painter, walk)[1] == again


def test_faces_stay_as_they_are_when_the_next_ones_are_drawn(painters: Painters) -> None:
    painter = painters(3, 0)
    first, _ = draw(painter, [0, 1, 2, 3])
    kept = first.copy()
    draw(painter, [3, 3, 3, 3])
    assert np.array_equal(first, kept)


def test_one_thread_drives_the_device_from_the_loading_on(painters: Painters, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    load = open_session

    def noting(*args: Any, **more: Any) -> Any:
        threads.append(threading.current_thread())
        return load(*args, **more)

    monkeypatch.setattr(painter_module, "open_session", noting)
    painter = painters(1, 0)
    assert threads == [painter.on_device(threading.current_thread)] * 2


def test_an_encoder_half_that_fails_once_leaves_nothing_wrong_behind(
    painters: Painters, crops: Pictures, expected: Callable[[list[int]], Pictures], monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = painters(1, 10**9)
    draw(painter, [0])
    with monkeypatch.context() as patched:
        patched.setattr(painter, "_crops", crops[:, :100])  # a face that the network cannot take
        with pytest.raises(Exception, match=r".+"):
            draw(painter, [1])
    faces, encoded = draw(painter, [1, 0])
    assert encoded == 1
    assert np.abs(faces.astype(np.int16) - expected([1, 0])).max() <= 1


def test_a_painter_that_fails_stops_the_threads_though_somebody_holds_on_to_the_error(
    small_pack: Pack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar = warm_up(small_pack, settings)
    part = Part(lambda span: np.zeros(span.stop - span.start, np.float32), 50_000, 70, Span(0, 70))

    def fail(*_: object) -> Pictures:
        raise Failed("the card fell off the bus")

    monkeypatch.setattr(avatar.painter, "paint", fail)
    with pytest.raises(Failed, match="bus") as raised:
        next(paint(avatar, part, Stopwatch()))
    assert raised.tb is not None
    assert [thread for thread in threading.enumerate() if thread.name.startswith("stage")] == []


def test_megabytes_for_the_bank_are_what_was_set_or_a_quarter_of_what_is_free(settings: Settings) -> None:
    assert cache_bytes(settings.model_copy(update={"cache_mb": 7})) == 7_000_000
    assert 10_000_000 < cache_bytes(settings) < 10**12


def test_a_second_avatar_gets_what_the_first_has_left(small_pack: Pack, settings: Settings) -> None:
    some = settings.model_copy(update={"cache_mb": 5})
    first = warm_up(small_pack, some)
    assert first.painter.bank.room == 5_000_000 // FRAME_BYTES == 4
    second = warm_up(small_pack, some, used_bytes=2 * FRAME_BYTES)
    assert second.painter.bank.room == 2
    assert warm_up(small_pack, some, used_bytes=10**9).painter.bank.room == 1
