"""Utterances: sound with the time of every phoneme, joined and padded."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.timing import SAMPLE_RATE_HZ

Float32 = npt.NDArray[np.float32]


class Phoneme(NamedTuple):
    """One uttered sound; it lasts until the next one starts.

    Attributes:
        start_s: from the first sample.
        symbol: IPA, such as `aɪ`; a pause has the empty string.
    """

    start_s: float
    symbol: str


class Spoken(NamedTuple):
    """A text as it was spoken.

    Attributes:
        audio: float32, shape (samples,), 16 kHz mono, within [-1, 1].
        phonemes: in the order of time.
    """

    audio: Float32
    phonemes: list[Phoneme]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.audio) / SAMPLE_RATE_HZ


def padded(spoken: Spoken, before_s: float, after_s: float) -> Spoken:
    """The same with silence on both sides."""
    return joined(joined(silence(before_s), spoken), silence(after_s))


def silence(seconds: float) -> Spoken:
    """Digital silence."""
    return Spoken(np.zeros(max(0, round(seconds * SAMPLE_RATE_HZ)), np.float32), [Phoneme(0.0, "")])


def joined(first: Spoken, second: Spoken) -> Spoken:
    """One after the other."""
    shifted = [Phoneme(phoneme.start_s + first.seconds, phoneme.symbol) for phoneme in second.phonemes]
    return Spoken(np.concatenate([first.audio, second.audio]), [*first.phonemes, *shifted])
