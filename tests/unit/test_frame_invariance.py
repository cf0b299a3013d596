"""Faces and finished frames are the same bits whatever chunk, batch, thread and bank they come from."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from infra.settings import Settings
from jobs.timing import Span, frame_count
from tests.unit import naive
from workers.avatar.demo import demo_pack
from workers.avatar.pack import Pack
from workers.avatar.synthetic import make_synthetic
from workers.pipeline import Painted, Part, compose, paint
from workers.render.planes import Planes
from workers.stopwatch import Stopwatch
from workers.warm import WarmAvatar, warm_up

SAMPLES = 12_000
TOTAL = frame_count(SAMPLES, "exact")
Frame = tuple[Painted, Planes]
Avatars = Callable[[str, int, int, int], WarmAvatar]

TOO_SMALL, AMPLE = 5, 500
"""Megabytes for the bank: too few for any of these templates, and enough for all."""


@pytest.fixture(scope="module")
def avatars(small_pack: Pack, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Avatars:
    """Warm avatars by kind (of the `real` size, of two convolutions, or the demo), batch, threads and megabytes."""
    packs: dict[str, Callable[[], Pack]] = {
        "small": lambda: small_pack,
        "demo": demo_pack,
        "real": cache(lambda: make_synthetic(tmp_path_factory.mktemp("real"), frames=4, width=384, height=352)),
    }

    @cache
    def load(kind: str, batch: int, threads: int, cache_mb: int) -> WarmAvatar:
        return warm_up(
            packs[kind](), settings.model_copy(update={"batch": batch, "threads": threads, "cache_mb": cache_mb})
        )

    return load


def render(avatar: WarmAvatar, frames: Span) -> list[Frame]:
    """Some frames of one job, on the way that a segment goes."""
    audio = naive.speech(SAMPLES)
    part = Part(lambda span: audio[slice(*span)], SAMPLES, TOTAL, frames)
    painted = paint(avatar, part, Stopwatch())
    with closing(compose(painted, avatar.template, 2, Stopwatch())) as composed:
        return list(composed)


def render_in_parts(avatar: WarmAvatar, borders: Sequence[int], order: Sequence[int]) -> list[Frame]:
    """All frames between borders, the parts being rendered in some order."""
    parts = list(pairwise(borders))
    found = {index: render(avatar, Span(*parts[index])) for index in order}
    return [frame for index in range(len(parts)) for frame in found[index]]


def assert_same(found: list[Frame], expected: list[Frame]) -> None:
    assert [face.frame for face, _ in found] == [face.frame for face, _ in expected]
    for (face, planes), (wanted, wanted_planes) in zip(found, expected, strict=True):
        assert face.template_frame == wanted.template_frame
        assert np.array_equal(face.face, wanted.face), f"the face of frame {face.frame}"
        assert np.array_equal(planes, wanted_planes), f"the planes of frame {face.frame}"


CONFIGURATIONS = [
    (1, 1, AMPLE),
    (1, 1, TOO_SMALL),
    (1, 2, TOO_SMALL),
    (3, 1, TOO_SMALL),
    (3, 2, AMPLE),
]
"""Batch, threads and megabytes for the bank."""


@pytest.mark.parametrize(("batch", "threads", "cache_mb"), CONFIGURATIONS)
@given(cuts=st.sets(st.integers(1, TOTAL - 1)), seed=st.integers(0, 99))
@example(cuts=set(range(1, TOTAL)), seed=0)
@profile(max_examples=8)
def test_any_borders_in_any_order_give_the_same_frames(
    avatars: Avatars, batch: int, threads: int, cache_mb: int, cuts: set[int], seed: int
) -> None:
    avatar = avatars("small", batch, threads, cache_mb)
    assert (avatar.painter.bank.room < 5) == (cache_mb == TOO_SMALL)
    borders = [0, *sorted(cuts), TOTAL]
    order = np.random.default_rng(seed).permutation(len(borders) - 1).tolist()
    expected = render(avatars("small", 1, 1, AMPLE), Span(0, TOTAL))
    assert_same(render_in_parts(avatar, borders, order), expected)


@pytest.mark.parametrize(("batch", "threads", "cache_mb"), CONFIGURATIONS)
def test_the_frames_of_the_demo_are_the_same_for_every_batch_thread_and_bank(
    avatars: Avatars, batch: int, threads: int, cache_mb: int
) -> None:
    avatar = avatars("demo", batch, threads, cache_mb)
    assert (avatar.painter.bank.room < 4) == (cache_mb == TOO_SMALL)
    expected = render(avatars("demo", 1, 1, AMPLE), Span(0, TOTAL))
    assert len({face.face.tobytes() for face, _ in expected}) == TOTAL, "the mouth moves"
    assert_same(render_in_parts(avatar, [0, 1, 4, 11, TOTAL], [2, 0, 3, 1]), expected)


@pytest.mark.parametrize(("batch", "threads", "cache_mb"), [(1, 2, 18), (3, 2, AMPLE)])
def test_frames_of_the_real_size_are_the_same_for_every_batch_thread_and_bank(
    avatars: Avatars, batch: int, threads: int, cache_mb: int
) -> None:
    """Its layers are cut into stripes and exchanged, which no smaller network here shows."""
    avatar = avatars("real", batch, threads, cache_mb)
    assert avatar.painter.bank.room == (2 if cache_mb == 18 else 4)
    expected = render(avatars("real", 1, 1, AMPLE), Span(2, 7))
    assert_same(render_in_parts(avatar, [2, 3, 7], [1, 0]), expected)
