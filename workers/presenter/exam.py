"""What a finished avatar is measured by: its mouth against the speech, and the seam of what was pasted."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.avatar_spec import Box
from jobs.timing import Span, frame_count
from workers.pipeline import Part, pictures
from workers.presenter.look.opening import mouth_opening
from workers.render.crop import CROP_PX, INNER, RIM_PX, Picture, crop_328
from workers.render.template import template_index
from workers.warm import WarmAvatar


class Exam(NamedTuple):
    """What was seen in the rendered frames of one clip."""

    openings: npt.NDArray[np.float64]
    """(frames,), how far the mouth is open, in pixels."""
    border_step: float
    """Grey levels by which the frame changes more than the template does across the border of what was pasted."""
    outside: int
    """The largest difference to the template outside the crop box, in grey levels."""


def examine(avatar: WarmAvatar, audio: npt.NDArray[np.float32]) -> Exam:
    """Render a whole clip and measure every frame.

    Args:
        avatar: who speaks.
        audio: float32 (samples,), 16 kHz mono.
    """
    total = frame_count(len(audio), "exact")
    template = avatar.template
    part = Part(lambda span: audio[slice(*span)], len(audio), total, Span(0, total))
    openings, steps, outside = [], [], 0
    for index, picture in enumerate(pictures(avatar, part)):
        place = template_index(index, len(template))
        original, box = template.frames[place], template.boxes[place]
        openings.append(mouth_opening(crop_328(picture, box)[INNER, INNER]))
        steps.append(border_step(picture, original, box))
        outside = max(outside, _outside(picture, original, box))
    return Exam(np.array(openings), float(np.mean(steps)), outside)


def border_step(picture: Picture, original: Picture, box: Box) -> float:
    """The mean step, in grey levels, that pasting has added along the border of the pasted face.

    Args:
        picture: uint8 (H, W, 3), a rendered frame.
        original: uint8 (H, W, 3), its template frame.
        box: its crop box.
    """
    x0, y0, x1, y1 = box
    rim = round(RIM_PX * (x1 - x0) / CROP_PX)
    change = picture.astype(np.int16) - original
    left, right, top, bottom = x0 + rim, x1 - rim, y0 + rim, y1 - rim
    sides = (
        change[top:bottom, left] - change[top:bottom, left - 1],
        change[top:bottom, right - 1] - change[top:bottom, right],
        change[top, left:right] - change[top - 1, left:right],
        change[bottom - 1, left:right] - change[bottom, left:right],
    )
    return float(np.abs(np.concatenate(sides)).mean())


def _outside(picture: Picture, original: Picture, box: Box) -> int:
    x0, y0, x1, y1 = box
    change = np.abs(picture.astype(np.int16) - original)
    change[y0:y1, x0:x1] = 0
    return int(change.max())
