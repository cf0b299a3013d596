"""Where a pasted crop box shows in a template frame that is kept as planes of YUV 4:2:0.

A chroma sample of swscale's conversion is the mean of two columns, weighted over eight rows. So a part of a picture
that begins on an even column is converted to the very samples that the whole picture has there, save for the chroma
rows near a cut: those lack the rows beyond it. A part that reaches far enough is therefore as good as the whole.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from workers.render.crop import Box

Planes = npt.NDArray[np.uint8]
"""`(height * 3 // 2, width)`, uint8: the rows of Y, then U and V at half the width and half the height (I420)."""

_REACH_PX: Final = 4  # rows beyond which no pixel has a part in a chroma sample


class Surrounds(NamedTuple):
    """The part of each template frame that a paste needs: its crop box, and what is converted with its edge.

    All are of one size, so that nothing has to be prepared anew from frame to frame.
    """

    height: int
    width: int
    corners: Sequence[tuple[int, int]]
    """Upper left corners `(x, y)`, all of them even."""


def surrounds_of(boxes: Sequence[Box], height: int, width: int) -> Surrounds:
    """Choose the surrounds of crop boxes in frames of a size whose sides are even."""
    margin = 2 * _REACH_PX  # as far as the box changes chroma, and once more as far as those samples look
    # One pixel for a box that begins on an odd one, and one to be even again.
    tall = min(_even(max((y1 - y0 for _, y0, _, y1 in boxes), default=0) + 2 * margin + 2), height)
    broad = min(_even(max((x1 - x0 for x0, _, x1, _ in boxes), default=0) + 2), width)
    corners = [
        (min(_even(x0), width - broad), min(_even(max(y0 - margin, 0)), height - tall)) for x0, y0, _, _ in boxes
    ]
    return Surrounds(tall, broad, corners)


def put(planes: Planes, part: Planes, corner: tuple[int, int]) -> Planes:
    """Put a converted surround into a converted frame.

    Args:
        planes: the frame; left as it is.
        part: the surround.
        corner: where it belongs, `(x, y)`, both even.

    Returns:
        A new frame, uint8, of the shape of `planes`.
    """
    result = np.array(planes)
    x, y = corner
    height, tall = len(planes) * 2 // 3, len(part) * 2 // 3
    first, last = _REACH_PX if y > 0 else 0, tall - (_REACH_PX if y + tall < height else 0)  # what no cut has spoiled
    for whole, piece, step in zip(_views(result), _views(part), (1, 2, 2), strict=True):
        top, left = y // step, x // step
        target = whole[top : top + len(piece), left : left + piece.shape[1]]
        good = slice(first // step, last // step)
        target[good] = piece[good]
    return result


def _views(planes: Planes) -> Iterator[Planes]:
    """Y, U and V, each with its own rows and columns."""
    height, width = len(planes) * 2 // 3, planes.shape[1]
    luma, chroma = np.split(planes.reshape(-1), [height * width])
    yield luma.reshape(height, width)
    yield from chroma.reshape(2, height // 2, width // 2)


def _even(length_px: int) -> int:
    return length_px - length_px % 2
