"""The presenter's pictures: a whole template frame, or the part of it that speech changes."""

import numpy as np

from jobs.avatar_spec import Box
from workers.presenter.look.brush import Brush, brush_on
from workers.presenter.look.head import JAW_DROP_PX, draw_face, draw_hair_before, draw_hair_behind
from workers.presenter.look.idle import HEAD_X_PX, HEAD_Y_PX, HEIGHT_PX, WIDTH_PX, Pose, crop_box, pose
from workers.presenter.look.lips import draw_mouth
from workers.presenter.look.studio import draw_backdrop, draw_body
from workers.presenter.mouth import REST, Mouth
from workers.render.crop import RIM_PX, Picture

MOUTH_ROWS, MOUTH_COLUMNS = slice(136, 280), slice(56, 264)
"""Of the 320-px face: all that a mouth, however it moves, can change. A multiple of 16 px each way."""
_MOUTH_Y_PX = 112  # below the point between the eyes
_MARGIN_PX = 24  # drawn and cut off: Skia blurs less exactly at the edge of its canvas
_NECK_Y_PX = 200  # the head turns about the top of the neck


def draw_frame(frame: int, mouth: Mouth = REST) -> Picture:
    """A whole template frame: uint8 (720, 1280, 3), BGR."""
    return _draw((0, 0, WIDTH_PX, HEIGHT_PX), frame, mouth)


def draw_window(frame: int, mouth: Mouth) -> Picture:
    """The part of a template frame's face that speech changes: uint8 (144, 208, 3), BGR."""
    return _draw(mouth_window(frame), frame, mouth)


def mouth_window(frame: int) -> Box:
    """Where that part is in the template frame, `[x0, y0, x1, y1]` in pixels."""
    x0, y0, _, _ = crop_box(frame)
    left, top = x0 + RIM_PX, y0 + RIM_PX
    return left + MOUTH_COLUMNS.start, top + MOUTH_ROWS.start, left + MOUTH_COLUMNS.stop, top + MOUTH_ROWS.stop


def _draw(part: Box, frame: int, mouth: Mouth) -> Picture:
    x0, y0, x1, y1 = part
    pixels = np.zeros((y1 - y0 + 2 * _MARGIN_PX, x1 - x0 + 2 * _MARGIN_PX, 4), np.uint8)
    with brush_on(pixels) as brush, brush.moved(_MARGIN_PX - x0, _MARGIN_PX - y0):
        _presenter(brush, pose(frame), mouth)
    return np.ascontiguousarray(pixels[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX, :3])


def _presenter(brush: Brush, at: Pose, mouth: Mouth) -> None:
    draw_backdrop(brush)
    head = brush.moved
    place = HEAD_X_PX + at.x, HEAD_Y_PX + at.y, at.roll_degrees, (0.0, float(_NECK_Y_PX))
    with head(*place):
        draw_hair_behind(brush, at)
    draw_body(brush, at)
    with head(*place):
        draw_face(brush, at, mouth.open)
        with brush.moved(at.yaw * 1.1, _MOUTH_Y_PX + at.pitch + 0.1 * JAW_DROP_PX * mouth.open):
            draw_mouth(brush, mouth)
        draw_hair_before(brush, at)
