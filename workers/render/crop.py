"""From a template frame to what the generator sees of it. Pictures are uint8 BGR, rows first."""

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

CROP_PX = 328
RIM_PX = 4  # of the crop, never seen by the network
FACE_PX = CROP_PX - 2 * RIM_PX  # 320
INNER = slice(RIM_PX, RIM_PX + FACE_PX)
MASK_ROWS, MASK_COLUMNS = slice(5, 310), slice(5, 315)  # the reference's mask of the face to be drawn anew


def crop_328(frame: Picture, box: Box) -> Picture:
    """Cut a crop box `[x0, y0, x1, y1]` (half-open) out of a frame and bring it to (328, 328, 3), cubic."""
    x0, y0, x1, y1 = box
    resized = cv2.resize(frame[y0:y1, x0:x1], (CROP_PX, CROP_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def network_input(crop: Picture) -> npt.NDArray[np.float32]:
    """The face and its masked copy.

    Args:
        crop: uint8 (328, 328, 3).

    Returns:
        float32 (6, 320, 320) in [0, 1]: face BGR, then masked face BGR.
    """
    face = crop[INNER, INNER].transpose(2, 0, 1)
    stacked = np.empty((6, FACE_PX, FACE_PX), np.float32)
    np.divide(face, np.float32(255), out=stacked[:3])
    stacked[3:] = stacked[:3]
    stacked[3:, MASK_ROWS, MASK_COLUMNS] = 0
    return stacked
