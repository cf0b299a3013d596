"""Which audio front end a folder was prepared for: the weights of some do not tell them apart."""

from pathlib import Path
from typing import Final

# Names under which a training run leaves the features of its front end.
_FEATURES: Final = "aud_ave.npy"
_OTHER_FEATURES: Final = ("aud_hu.npy", "aud_wenet.npy")


def other_front_end(folder: Path) -> str | None:
    """A sentence when networks that were trained in this folder hear features of another kind, else None."""
    other = [name for name in _OTHER_FEATURES if (folder / name).exists()]
    if not other or (folder / _FEATURES).exists():
        return None
    return (
        f"{folder} was prepared for another audio front end: it holds {other[0]} and no {_FEATURES}, so networks that "
        "were trained there cannot hear what is rendered here; train them with the front end `ave`."
    )
