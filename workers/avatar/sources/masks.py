"""The black rectangle of a masked face: the part that the generator has to draw. Pure."""

from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from workers.render.crop import CROP_PX, FACE_PX, MASK_COLUMNS, MASK_ROWS, RIM_PX, Picture

# A mask is black, which lossy compression turns into levels up to this, and into more at a few pixels near its edge.
_DARK: Final = 24
_FILLED: Final = 0.9
_PART: Final = 0.25  # of the picture: no face that is not masked is as dark, and all around its middle
_SLACK_PX: Final = 2  # by which compression moves an edge: colour is coded in blocks of two pixels


class Mask(NamedTuple):
    """A rectangle in a picture of a face: first and last row and column, in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    def __str__(self) -> str:
        return f"rows {self.top} to {self.bottom}, columns {self.left} to {self.right}"


EXPECTED: Final = Mask(MASK_ROWS.start, MASK_ROWS.stop - 1, MASK_COLUMNS.start, MASK_COLUMNS.stop - 1)


def find_mask(picture: Picture) -> Mask | None:
    """The black rectangle around the middle of a picture of a face, (H, W, 3); None where there is none."""
    dark = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) <= _DARK
    middle_row, middle_column = dark.shape[0] // 2, dark.shape[1] // 2
    if not dark[middle_row, middle_column]:
        return None
    left, right = _run(dark[middle_row], middle_column)
    top, bottom = _run(dark[:, left : right + 1].mean(axis=1) >= _FILLED, middle_row)
    left, right = _run(dark[top : bottom + 1].mean(axis=0) >= _FILLED, middle_column)
    area = (bottom - top + 1) * (right - left + 1)
    return Mask(top, bottom, left, right) if _PART * dark.size <= area < dark.size else None


def is_expected(mask: Mask, side_px: int) -> bool:
    """Whether a mask found in a square picture is that of the render contract, as far as compression lets one see.

    Args:
        mask: what was found.
        side_px: of the picture: 320 for a face, 328 for a whole crop. Others are no faces of this contract.
    """
    if side_px not in {FACE_PX, CROP_PX}:
        return False
    rim = RIM_PX if side_px == CROP_PX else 0
    return all(abs(found - rim - wanted) <= _SLACK_PX for found, wanted in zip(mask, EXPECTED, strict=True))


def _run(flags: npt.NDArray[np.bool_], start: int) -> tuple[int, int]:
    """First and last index of the run of true values around `start`; `start` alone where it is false."""
    ends = np.flatnonzero(~flags)
    before, after = ends[ends < start], ends[ends > start]
    return int(before[-1]) + 1 if len(before) else 0, int(after[0]) - 1 if len(after) else len(flags) - 1
