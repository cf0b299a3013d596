"""What the tensors of the two halves are called, for those who make the halves and those who run them."""

from typing import Final

FACE: Final = "face"
KEPT_FACE: Final = "kept.face"
SLOTS: Final = "slots"
HEARD: Final = "heard"
PAINTED: Final = "painted"
BANK: Final = "bank."
"""Begins the name of a tensor of many template frames."""
