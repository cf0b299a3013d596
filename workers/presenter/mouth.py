"""The mouth as six numbers: what the speech half of the recipe foretells and the drawing half draws."""

from typing import NamedTuple


class Mouth(NamedTuple):
    """Six articulators, each in [0, 1]; the order is that of the networks' last axis.

    Attributes:
        open: how far the inner lips part: 0 sealed, 1 the widest vowel; the jaw follows.
        width: how far the corners are drawn apart: 0 relaxed, 1 the spread lips of "ee".
        round: how far the lips are pursed and pushed forward: 0 flat, 1 the small circle of "oo".
        teeth: how much of the teeth shows between parted lips; of no consequence when `open` is 0.
        tongue: how far the tongue comes up and forward: 0 out of sight, 1 its tip between the teeth as in "th".
        tuck: how far the lower lip is drawn in under the upper teeth, as in "f" and "v".
    """

    open: float
    width: float
    round: float
    teeth: float
    tongue: float
    tuck: float


ARTICULATORS = Mouth._fields
OPEN = ARTICULATORS.index("open")

REST = Mouth(open=0.0, width=0.05, round=0.0, teeth=0.3, tongue=0.0, tuck=0.0)  # silence: lips lightly closed
