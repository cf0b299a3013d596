"""Audio in: one streaming view of every format, which refuses what it cannot trust.

What a header claims and a file holds may differ. Less than claimed is a truncated file. More is not played from a WAV
or FLAC, where bytes behind the claimed audio are something else, and is played from containers, whose lengths are
hints. The rate and the channels are those of the decoded samples, and may not change on the way.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from infra.errors import Rejected

RATES_HZ: Final = range(4_000, 768_001)  # telephone audio lies above, the fastest converters below
CHANNELS: Final = range(1, 65)
_EXTENSION: Final = re.compile(r"\.[a-z0-9]{1,5}")

Block = npt.NDArray[np.float32]
"""`(n, channels)`, float32, nominally in [-1, 1]."""


def require_plausible(path: Path, sample_rate: int, channels: int) -> None:
    """Refuse numbers that no recording has.

    Raises:
        Rejected: the rate lies outside `RATES_HZ` or the channels outside `CHANNELS`.
    """
    if sample_rate not in RATES_HZ:
        raise Rejected(f"{path} claims a sample rate of {sample_rate} Hz, which no recording has: export it again.")
    if channels not in CHANNELS:
        raise Rejected(f"{path} claims {channels} audio channels, which no recording has: export it again.")


class Damaged(Exception):
    """A decoder met contents that it cannot read; what it gave before is good."""


class AudioSource(ABC):
    """An open audio file; a context manager. `infra.media_decode.open_audio` makes one.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        channels: number of channels.
        declared_s: length in seconds that the file claims; None when it claims none.
        extension: of the file's name, in lower case with its dot; empty when it has no plain one.
        usable_s: seconds decoded so far, and after the last block all that could be.
    """

    declared_s: float | None
    slack_s: float = 0.0
    """By how much a claimed length may exceed the decoded one; encoded formats count in whole packets."""
    cut_short: bool = False
    """Whether the file shows by itself that its end is missing."""

    def __init__(self, path: Path, sample_rate: int, channels: int, *, allow_truncated: bool) -> None:
        require_plausible(path, sample_rate, channels)
        self.path, self.sample_rate, self.channels = path, sample_rate, channels
        self.extension = suffix if _EXTENSION.fullmatch(suffix := path.suffix.lower()) else ""
        self._allow_truncated = allow_truncated
        self._decoded = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the file; may be called twice."""

    @abstractmethod
    def _decode(self) -> Iterator[Block]:
        """Yield blocks to the end of the file; raise `Damaged` where it cannot be read."""

    @property
    def usable_s(self) -> float:
        """Seconds decoded so far."""
        return self._decoded / self.sample_rate

    @property
    def is_missing_some(self) -> bool:
        """Whether less was decoded so far than the file claims to have."""
        return self.declared_s is not None and self.usable_s + self.slack_s < self.declared_s

    def blocks(self) -> Iterator[Block]:
        """Decode the file, once, in memory that does not depend on its length.

        Yields:
            `(n, channels)`, float32, nominally in [-1, 1], n > 0.

        Raises:
            Rejected: it holds NaN or infinite samples, or nothing at all; it changes its sample rate or channel count;
                or it ends before the length that it claims, and truncated files were not allowed.
        """
        damaged = False
        try:
            for block in self._decode():
                finite = np.isfinite(block).all(axis=1)
                if not finite.all():
                    at_s = self.usable_s + int(np.argmin(finite)) / self.sample_rate
                    raise Rejected(f"{self.path} has NaN or infinite samples at {at_s:.3f} s: export it again.")
                if len(block):
                    self._decoded += len(block)
                    yield block
        except Damaged:
            damaged = True
        if (damaged or self.cut_short or self.is_missing_some) and not self._allow_truncated:
            complaint = "is damaged" if damaged else "ends early"
            of = f" of {self.declared_s:.3f} s" if self.declared_s else ""
            raise Rejected(
                f"{self.path} {complaint}: {self.usable_s:.3f} s{of} can be used; get a whole copy, or pass "
                "--allow-truncated to use that part."
            )
        if not self._decoded:
            raise Rejected(f"{self.path} contains no audio that can be decoded.")
