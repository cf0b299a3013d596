"""Pictures as encoders take them: planes of limited-range YUV 4:2:0."""

import threading
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from infra.media_colour import SCALER, Matrix

Picture = npt.NDArray[np.uint8]
"""`(height, width, 3)`, uint8, BGR."""

Planes = npt.NDArray[np.uint8]
"""`(height * 3 // 2, width)`, uint8: the rows of Y, then U and V at half the width and half the height (I420)."""

# Without ACCURATE_RND swscale is off by up to two levels; FULL_CHR_H_INT interpolates chroma instead of repeating it.
EXACT: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

_SLACK_BYTES: Final = 256
"""swscale reads whole vectors, some tens of bytes beyond the last pixel: they must exist."""

_mine = threading.local()


def to_planes(bgr: Picture, matrix: Matrix) -> Planes:
    """Convert a picture, or a part of one; any number of threads may do so at once.

    Args:
        bgr: `(height, width, 3)`, uint8, BGR, both sides even.
        matrix: of the whole picture, whatever the height of a part; see `matrix_for`.

    Returns:
        `(height * 3 // 2, width)`, uint8, of limited range; an array of the caller's own.
    """
    if not hasattr(_mine, "scaler"):
        _mine.scaler = VideoReformatter()  # keeps its tables while sizes stay the same; not to be shared by threads
    source = np.empty(bgr.size + _SLACK_BYTES, np.uint8)[: bgr.size].reshape(bgr.shape)
    source[...] = bgr
    planes = _mine.scaler.reformat(
        av.VideoFrame.from_numpy_buffer(source, format="bgr24"),
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=SCALER[matrix],
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT,
        threads=1,  # whoever is in a hurry converts several pictures at once
    )
    return np.asarray(planes.to_ndarray(), np.uint8)
