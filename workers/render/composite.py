"""From the generator's picture back into the template frame."""

import cv2
import numpy as np
import numpy.typing as npt

from workers.render.crop import INNER, Box, Picture


def face_picture(generated: npt.NDArray[np.float32]) -> Picture:
    """The generator's output as a picture: float32 (3, 320, 320) in [0, 1] → uint8 (320, 320, 3), truncated."""
    return (generated * np.float32(255)).astype(np.uint8).transpose(1, 2, 0)


def paste(frame: Picture, crop: Picture, face: Picture, box: Box, keep: npt.NDArray[np.bool_] | None) -> Picture:
    """Put a generated face into a template frame.

    Args:
        frame: uint8 (H, W, 3), the template frame; left as it is.
        crop: uint8 (328, 328, 3), its crop, whose 4-px rim stays.
        face: uint8 (320, 320, 3).
        box: crop box, half-open, in pixels of the frame.
        keep: bool (box height, box width): pixels where the template stays; None for none.

    Returns:
        A new picture of the frame's shape.
    """
    x0, y0, x1, y1 = box
    patch = crop.copy()
    patch[INNER, INNER] = face
    resized = np.asarray(cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC), np.uint8)
    result = frame.copy()
    target = result[y0:y1, x0:x1]
    if keep is None:
        target[...] = resized
    else:
        np.copyto(target, resized, where=~keep[:, :, None])
    return result
