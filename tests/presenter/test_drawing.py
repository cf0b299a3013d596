"""The drawn presenter: what speech may change, how the head comes to rest, and how far a mouth is open."""

import numpy as np
import pytest

from workers.presenter.look.opening import mouth_opening
from workers.presenter.mouth import REST, Mouth
from workers.render.crop import INNER, Picture, crop_328

pytestmark = pytest.mark.usefixtures("skia")

WIDE = Mouth(open=1, width=1, round=0, teeth=1, tongue=1, tuck=1)
POUT = Mouth(open=0.6, width=0, round=1, teeth=0, tongue=0, tuck=0)


def face(picture: Picture, frame: int) -> Picture:
    from workers.presenter.look.idle import crop_box

    return crop_328(picture, crop_box(frame))[INNER, INNER]


@pytest.mark.parametrize("mouth", [WIDE, POUT])
@pytest.mark.parametrize("frame", [0, 31, 47, 99])
def test_speech_changes_nothing_outside_the_mouth_window(frame: int, mouth: Mouth) -> None:
    from workers.presenter.look.drawing import draw_frame, mouth_window

    changed = (draw_frame(frame, mouth) != draw_frame(frame)).any(axis=2)
    x0, y0, x1, y1 = mouth_window(frame)
    assert changed[y0:y1, x0:x1].any()
    changed[y0:y1, x0:x1] = False
    assert not changed.any()


def test_a_window_is_that_part_of_the_frame() -> None:
    from workers.presenter.look.drawing import draw_frame, draw_window, mouth_window

    x0, y0, x1, y1 = mouth_window(12)
    difference = np.abs(draw_frame(12, WIDE)[y0:y1, x0:x1].astype(int) - draw_window(12, WIDE))
    assert difference.mean() < 0.1  # at the edge of its canvas, Skia rounds otherwise


def test_the_head_comes_to_rest_where_the_clip_turns_back() -> None:
    from workers.presenter.look.idle import TEMPLATE_FRAMES, pose

    poses = np.array([pose(frame) for frame in range(TEMPLATE_FRAMES)])
    steps = np.abs(np.diff(poses, axis=0)).max(axis=1)
    assert max(steps[0], steps[-1]) < 0.05 < steps.max()


def test_every_crop_box_cuts_without_resampling_and_follows_the_head() -> None:
    from workers.presenter.look.idle import HEIGHT_PX, TEMPLATE_FRAMES, WIDTH_PX, crop_box

    boxes = np.array([crop_box(frame) for frame in range(TEMPLATE_FRAMES)])
    assert (boxes[:, 2:] - boxes[:, :2] == 328).all()
    assert boxes.min() >= 0 and boxes[:, 2].max() <= WIDTH_PX and boxes[:, 3].max() <= HEIGHT_PX
    assert np.abs(np.diff(boxes, axis=0)).max() <= 1 and np.ptp(boxes[:, 0]) >= 8


def test_the_meter_reads_how_far_a_drawn_mouth_is_open() -> None:
    from workers.presenter.look.drawing import draw_frame

    chance = np.random.default_rng(3)
    mouths = [REST, *(Mouth(*chance.random(6)) for _ in range(40))]
    frames = chance.integers(100, size=len(mouths)).tolist()
    read = [mouth_opening(face(draw_frame(frame, mouth), frame)) for frame, mouth in zip(frames, mouths, strict=True)]
    assert read[0] == 0
    assert np.corrcoef(read, [mouth.open for mouth in mouths])[0, 1] > 0.98
