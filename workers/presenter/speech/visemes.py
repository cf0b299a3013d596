"""From phonemes to the mouth that utters them: the truth that the networks learn, and that tests measure against.

Every sound asks for a mouth, and for each articulator with its own insistence: "m" will have the lips closed but does
not care how wide they are, so "oom" stays round. The mouth at a moment is the mean of what the sounds around it ask
for, weighted by insistence and by nearness; that is how neighbouring sounds colour each other.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.timing import FPS, frame_count
from workers.presenter.mouth import REST, Mouth
from workers.presenter.speech.utterance import Phoneme, Spoken

# Reach of a sound before and after a moment: lips take about 0.1 to 0.2 s from one target to the next.
REACH_S = 0.080
# espeak-ng starts a voiceless stop at its burst; the silence of the closed mouth is the end of the sound before.
CLOSURE_S = 0.040
BURST_S = 0.015
# A shorter gap between two sounds is no pause but a link: nobody closes the mouth for it.
SHORTEST_PAUSE_S = 0.060

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class Viseme(NamedTuple):
    """What a sound asks of the mouth.

    Attributes:
        mouth: the target.
        insistence: how much each articulator matters to this sound, above 0; 1 is a full vowel's.
    """

    mouth: Mouth
    insistence: Mouth


class VisemeSpan(NamedTuple):
    """A viseme from `start_s` to `stop_s`."""

    start_s: float
    stop_s: float
    viseme: Viseme


def _all(weight: float) -> Mouth:
    return Mouth(*[weight] * len(Mouth._fields))


_CLOSED_LIPS = Mouth(open=6.0, width=0.05, round=0.05, teeth=0.2, tongue=0.5, tuck=3.0)
_LIP_ON_TEETH = Mouth(open=4.0, width=0.3, round=0.3, teeth=2.5, tongue=1.0, tuck=5.0)
_TONGUE_TIP = Mouth(open=0.9, width=0.15, round=0.15, teeth=0.9, tongue=1.5, tuck=1.0)
_TONGUE_BACK = Mouth(open=0.6, width=0.1, round=0.1, teeth=0.3, tongue=0.6, tuck=1.0)

# Sounds that look alike, the mouth (open, width, round, teeth, tongue, tuck), and how insistently they ask for it.
_TABLE: tuple[tuple[str, Mouth, Mouth], ...] = (
    ("ɑ a ʌ ɐ", Mouth(0.85, 0.15, 0.0, 0.35, 0.2, 0.0), _all(1.2)),
    ("æ", Mouth(0.80, 0.45, 0.0, 0.5, 0.2, 0.0), _all(1.2)),
    ("ɛ e ε", Mouth(0.52, 0.60, 0.0, 0.6, 0.3, 0.0), _all(1.0)),
    ("ɪ i ᵻ ɨ ɯ", Mouth(0.30, 0.90, 0.0, 0.8, 0.35, 0.0), _all(1.0)),
    ("ə ɜ ɚ", Mouth(0.38, 0.15, 0.0, 0.5, 0.3, 0.0), _all(0.7)),
    ("ɔ ɒ", Mouth(0.68, 0.0, 0.6, 0.2, 0.1, 0.0), _all(1.2)),
    ("o", Mouth(0.50, 0.0, 0.85, 0.1, 0.1, 0.0), _all(1.2)),
    ("ʊ u ʉ", Mouth(0.26, 0.0, 1.0, 0.1, 0.1, 0.0), _all(1.2)),
    ("y", Mouth(0.26, 0.1, 0.9, 0.2, 0.3, 0.0), _all(1.2)),
    ("ø œ ɵ", Mouth(0.42, 0.05, 0.75, 0.2, 0.25, 0.0), _all(1.2)),
    ("m b p", Mouth(0.0, 0.1, 0.0, 0.3, 0.0, 0.0), _CLOSED_LIPS),
    ("f v ʋ", Mouth(0.12, 0.1, 0.0, 1.0, 0.0, 1.0), _LIP_ON_TEETH),
    ("β", Mouth(0.08, 0.1, 0.1, 0.3, 0.0, 0.0), _CLOSED_LIPS),
    ("θ ð", Mouth(0.20, 0.2, 0.0, 0.7, 1.0, 0.0), Mouth(1.6, 0.3, 0.3, 1.2, 3.0, 1.5)),
    ("s z", Mouth(0.14, 0.55, 0.0, 1.0, 0.1, 0.0), Mouth(1.6, 0.5, 0.3, 1.5, 1.0, 1.5)),
    ("ʃ ʒ", Mouth(0.22, 0.0, 0.7, 1.0, 0.1, 0.0), Mouth(1.6, 1.2, 1.6, 1.5, 1.0, 1.5)),
    ("t d n l ɾ ɫ", Mouth(0.22, 0.25, 0.0, 0.75, 0.6, 0.0), _TONGUE_TIP),
    ("k ɡ g ŋ x ɣ χ q ʁ", Mouth(0.30, 0.2, 0.0, 0.5, 0.1, 0.0), _TONGUE_BACK),
    ("ɹ r", Mouth(0.24, 0.0, 0.5, 0.5, 0.2, 0.0), _all(1.0)),
    ("w ʍ", Mouth(0.12, 0.0, 1.0, 0.1, 0.0, 0.0), Mouth(1.8, 1.6, 2.0, 1.2, 1.0, 1.5)),
    ("j c ɟ ɲ ʎ ʝ ç", Mouth(0.24, 0.7, 0.0, 0.7, 0.3, 0.0), _all(0.9)),
    ("h", Mouth(0.36, 0.15, 0.0, 0.4, 0.1, 0.0), _all(0.2)),
    ("ʔ", Mouth(0.20, 0.1, 0.0, 0.4, 0.1, 0.0), _all(0.2)),
)
VISEMES = {symbol: Viseme(mouth, insistence) for symbols, mouth, insistence in _TABLE for symbol in symbols.split()}
SILENCE = Viseme(REST, _all(1.2))

_VOICELESS_STOPS = frozenset("ptkcq")
_LENGTHENERS = frozenset("ː:")
_LANGUAGE_MARK = "("  # espeak-ng reports a change of language as `(en)`


def frame_times_s(frames: int) -> Float64:
    """The moments that output frames show, the middle of each: float64 (frames,)."""
    return (np.arange(frames) + 0.5) / FPS


def spoken_track(spoken: Spoken) -> Float32:
    """The mouth of every output frame of an utterance: float32 (frames, 6), see `mouth_track`."""
    times_s = frame_times_s(frame_count(len(spoken.audio), "exact"))
    return mouth_track(spoken.phonemes, spoken.seconds, times_s)


def mouth_track(phonemes: list[Phoneme], end_s: float, times_s: Float64) -> Float32:
    """The mouth that goes with the sound, at any moments.

    Args:
        phonemes: in the order of time.
        end_s: when the last of them ends; before the first and from here on there is silence.
        times_s: float64 (n,).

    Returns:
        float32 (n, 6), values in [0, 1], in the order of `mouth.ARTICULATORS`.
    """
    spans = viseme_spans(phonemes, end_s)
    # How much of a Hann window of `REACH_S` around each moment lies within each span.
    edges_s = np.array([[span.start_s, span.stop_s] for span in spans])
    nearness = np.diff(_hann_integral((edges_s[None] - times_s[:, None, None]) / REACH_S), axis=2)[:, :, 0].clip(0.0)
    targets = np.array([span.viseme.mouth for span in spans])
    insistence = np.array([span.viseme.insistence for span in spans])
    track: Float32 = ((nearness @ (targets * insistence)) / (nearness @ insistence)).astype(np.float32)
    return track


def viseme_spans(phonemes: list[Phoneme], end_s: float) -> list[VisemeSpan]:
    """The visemes of an utterance, without gaps from ever before its start to ever after its end."""
    starts = [(-np.inf, SILENCE)]
    released_s = np.inf  # when the lips leave a stop whose sound still lasts
    for start_s, sign in _signs(phonemes, end_s):
        at_s = min(start_s, released_s)
        released_s = np.inf
        if sign in _VOICELESS_STOPS:
            at_s = max(start_s - CLOSURE_S, (starts[-1][0] + start_s) / 2)
            released_s = start_s + BURST_S
        starts.append((at_s, VISEMES.get(sign, SILENCE)))
    ends = [start_s for start_s, _ in starts[1:]] + [np.inf]
    return [VisemeSpan(start_s, stop_s, viseme) for (start_s, viseme), stop_s in zip(starts, ends, strict=True)]


def _signs(phonemes: list[Phoneme], end_s: float) -> Iterator[tuple[float, str]]:
    """Starts of the single sounds, those of diphthongs and affricates one by one; a pause has the empty string."""
    uttered = [phoneme for phoneme in phonemes if not phoneme.symbol.startswith(_LANGUAGE_MARK)]
    for phoneme, following in pairwise([*uttered, Phoneme(end_s, "")]):
        lasts_s = following.start_s - phoneme.start_s
        signs = [sign for sign in phoneme.symbol if sign in VISEMES or sign in _LENGTHENERS]
        if not signs and lasts_s >= SHORTEST_PAUSE_S:
            yield phoneme.start_s, ""
        for place, sign in enumerate(signs):
            if sign in VISEMES:
                yield phoneme.start_s + lasts_s * place / len(signs), sign
    yield end_s, ""


def _hann_integral(position: Float64) -> Float64:
    """The share of a Hann window over [-1, 1] that lies before `position`."""
    inside = position.clip(-1.0, 1.0)
    return (1.0 + inside + np.sin(np.pi * inside) / np.pi) / 2.0
