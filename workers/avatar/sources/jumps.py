"""Crop boxes that leap against their neighbours: a face that was detected wrongly, or a cut in the recording. Pure.

A head moves smoothly: what a box does from one frame to the next resembles what it does just before and just after.
So each step of the box is compared with the median of the four steps next to it: two on either side, and near an end
more on the other one, since a median of fewer would follow one leap among them. A nod, a turn or a sway changes its
speed over several frames and stays close to that median, however fast it is; one box in a wrong place does not. The
clip is played forward and back, so its last box is never compared with its first.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from jobs.avatar_spec import Box

# Parts of the box's side, found by trial. A sway over 15 % of the side twice a second, or a nod over 15 % and back in a
# third of a second, strays by up to 5 % from its neighbours' motion. Landmarks that tremble by 1 % add as much again.
_SUSPECT: Final = 0.10
_CERTAIN: Final = 0.16  # however much the boxes tremble all around
_ROUNDING_PX: Final = 3.0  # both ends of a step are truncated to whole pixels, and so are those of its neighbours

_NEIGHBOURS: Final = 4  # steps that a step is compared with; two wrong ones, away and back, do not move their median
_AROUND: Final = 12  # steps on either side, half a second, that tell how much the boxes tremble
_TREMBLE: Final = 6.0  # by this factor a leap stands out from trembling


def box_jumps(boxes: Sequence[Box]) -> dict[int, float]:
    """Find the template frames whose box leaps.

    Args:
        boxes: one per template frame, half-open, in pixels.

    Returns:
        Frame → how far one edge of its box strays from the motion of its neighbours, in parts of the box's side. A box
        that leaps away and back at once is one frame; so is the first one when all others stay where the second is,
        since it is shown between the second and the second.
    """
    edges = np.array(boxes, np.float64).reshape(-1, 4)
    steps = np.diff(edges, axis=0)  # (N - 1, 4): from frame t to t + 1, each edge
    sides = (edges[:, 2] - edges[:, 0])[edges[:, 2] > edges[:, 0]]
    if not len(steps) or not len(sides):
        return {}
    side_px = float(np.median(sides))
    strays = np.array([step - _expected(steps, index) for index, step in enumerate(steps)]) / side_px
    stray = np.abs(strays).max(axis=1)
    jumps: dict[int, float] = {}
    for index in np.flatnonzero(stray > _limits(stray, side_px)).tolist():
        if not (index in jumps and _undone(strays, index - 1)):  # step t leads to frame t + 1
            jumps[index + 1] = float(stray[index])
    first_alone = not _undone(strays, 0)
    return {frame - (frame == 1 and first_alone): size for frame, size in jumps.items()}


def _undone(strays: npt.NDArray[np.float64], index: int) -> bool:
    """Whether the step after a step, of those in (N - 1, 4), leads back to where it came from."""
    pair = strays[index : index + 2]
    return len(pair) == 2 and bool(np.abs(pair.sum(axis=0)).max() < np.abs(pair).max() / 2)


def _expected(steps: npt.NDArray[np.float64], index: int) -> npt.NDArray[np.float64]:
    """The step that the neighbours of a step suggest, (4,); none when it has no neighbours."""
    first = max(min(index - _NEIGHBOURS // 2, len(steps) - 1 - _NEIGHBOURS), 0)
    around = np.delete(steps[first : first + _NEIGHBOURS + 1], index - first, axis=0)
    return np.asarray(np.median(around, axis=0)) if len(around) else np.zeros(4)


def _limits(stray: npt.NDArray[np.float64], side_px: float) -> npt.NDArray[np.float64]:
    """What each step may stray before it is a leap, (N - 1,), in parts of the side."""
    around = [stray[max(index - _AROUND, 0) : index + _AROUND + 1] for index in range(len(stray))]
    trembling = np.array([np.median(part) for part in around])
    return np.maximum(np.clip(_TREMBLE * trembling, _SUSPECT, _CERTAIN), _ROUNDING_PX / side_px)
