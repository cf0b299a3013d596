"""How the presenter holds still: a few seconds of sway, breath, glances and a blink.

The template clip is played forward and back. Every movement is a sum of cosines that come to rest at both ends of the
clip, so that turning back is not seen.
"""

import math
from typing import NamedTuple

from jobs.avatar_spec import Box

WIDTH_PX, HEIGHT_PX = 1280, 720
TEMPLATE_FRAMES = 100
BOX_PX = 328  # the side that needs no resizing: render contract, "Template"
HEAD_X_PX, HEAD_Y_PX = 640, 286
"""Where the point between the eyes is when nothing moves."""
_BOX_CENTRE_Y_PX = 80  # of the crop box, below the point between the eyes
_BLINK_FRAME, _BLINK_HALF_FRAMES = 46, 3.4


class Pose(NamedTuple):
    """Deviations from rest in pixels, unless said otherwise."""

    x: float
    y: float
    roll_degrees: float
    yaw: float
    """How far the face's features move sideways on the head when it turns."""
    pitch: float
    """How far they move down when it nods."""
    breath: float
    blink: float
    """From 0, open, to 1, shut."""
    glance: float
    brow: float


def pose(frame: int) -> Pose:
    """The pose of one template frame."""
    u = frame / (TEMPLATE_FRAMES - 1)

    def swing(*amplitudes: float) -> float:
        """Amplitudes of a half, one, one and a half … swings over the clip."""
        return sum(amplitude * math.cos(index * math.pi * u) for index, amplitude in enumerate(amplitudes, 1))

    return Pose(
        x=swing(-7.0, 1.5, 2.5),
        y=swing(0.8, -2.2, 0.0, 1.2),
        roll_degrees=swing(1.3, 0.0, -0.5, 0.2),
        yaw=swing(-3.6, 1.0, 1.2),
        pitch=swing(0.6, 1.4, -0.8),
        breath=swing(0.0, 2.0, 0.0, 0.6),
        blink=_blink(frame),
        glance=swing(0.9, 0.0, -0.8, 0.5),
        brow=swing(0.5, -0.8, 0.5),
    )


def crop_box(frame: int) -> Box:
    """The crop box follows the head in whole pixels, so that cropping never resamples."""
    at = pose(frame)
    x0 = round(HEAD_X_PX + at.x - BOX_PX / 2)
    y0 = round(HEAD_Y_PX + at.y + _BOX_CENTRE_Y_PX - BOX_PX / 2)
    return x0, y0, x0 + BOX_PX, y0 + BOX_PX


def _blink(frame: int) -> float:
    """The lids stay shut for a frame or two: a blink that is only touched looks like a flutter."""
    nearness = 1.0 - abs(frame - _BLINK_FRAME) / _BLINK_HALF_FRAMES
    return min(max(1.6 * nearness, 0.0), 1.0)
