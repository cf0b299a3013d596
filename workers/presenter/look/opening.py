"""How far the presenter's mouth is open, measured in a picture.

Between the lips there is only what is nowhere else on the lower face: the dark of the mouth, the grey-white of teeth,
and a tongue that is more blue than green, where lips and skin are more green than blue.
"""

import numpy as np

from workers.render.crop import Picture

_ROWS, _COLUMNS = slice(168, 262), slice(152, 169)
"""Of the 320-px face: below the nose and above the shadow under the chin, in the middle of the mouth."""
_DARK = 92  # red, at most; lips and their shadows have more
_TEETH_BLUE, _TEETH_COLOUR = 140, 60  # blue, at least; red minus blue, at most


def mouth_opening(face: Picture) -> float:
    """The height of the gap between the lips.

    Args:
        face: uint8 (320, 320, 3), BGR, the inner face of a rendered or drawn frame.

    Returns:
        Pixels: the median over the middle columns of the mouth.
    """
    blue, green, red = np.moveaxis(face[_ROWS, _COLUMNS].astype(np.int16), 2, 0)
    dark = red < _DARK
    teeth = (blue > _TEETH_BLUE) & (red - blue < _TEETH_COLOUR)
    tongue = (blue - green > 4) & ~dark
    return float(np.median((dark | teeth | tongue).sum(0)))
