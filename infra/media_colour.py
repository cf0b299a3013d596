"""The two matrices between BGR and limited-range YUV, and how files name them."""

from typing import Final, Literal

from av.video.reformatter import Colorspace

Matrix = Literal["bt709", "smpte170m"]

# Code points of ITU-T H.273, the same for primaries, transfer and matrix.
TAG: Final[dict[Matrix, int]] = {"bt709": 1, "smpte170m": 6}
MATRIX_OF_TAG: Final[dict[int, Matrix]] = {1: "bt709", 5: "smpte170m", 6: "smpte170m"}  # 5, BT.470BG, equals 6
SCALER: Final[dict[Matrix, Colorspace]] = {"bt709": Colorspace.ITU709, "smpte170m": Colorspace.ITU601}


def matrix_for(height: int) -> Matrix:
    """The matrix that pictures of `height` lines have unless they are tagged otherwise: BT.709 from 720 lines up."""
    return "bt709" if height >= 720 else "smpte170m"
