"""What the hearing learns from: synthetic speech as mel frames, and the mouth of every output frame beside it."""

import random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jobs.timing import Span, mel_frame_count
from workers.presenter.speech.espeak import speak
from workers.presenter.speech.sentences import sentence
from workers.presenter.speech.utterance import Spoken, padded, silence
from workers.presenter.speech.visemes import spoken_track
from workers.presenter.speech.voices import any_voice
from workers.render.mel import mel_spectrogram

SENTENCES_PER_CLIP = 2
LONGEST_PAUSE_S = 0.8  # before and after the speech of a clip
SHORTEST_CLIP_S = 4.0
SILENT_SHARE = 0.02  # of the clips, so that silence and noise close the mouth
SILENT_S = 6.0
VALIDATION_SHARE = 0.02

Float32 = npt.NDArray[np.float32]


class Clip(NamedTuple):
    """A stretch of sound, and the mouth that goes with it.

    Attributes:
        mel: float32 (80, M), values in [-4, 4].
        track: float32 (frames, 6), values in [0, 1]: the mouth of each output frame, exact length.
    """

    mel: Float32
    track: Float32


class Corpus(NamedTuple):
    """Clips to learn from, and others of the same voices that watch over it."""

    training: list[Clip]
    validation: list[Clip]


def synthesise_corpus(seed: int, clips: int) -> Corpus:
    """Let many voices speak.

    Args:
        seed: the same seed gives the same corpus, in a fresh process and with the same espeak-ng.
        clips: how many, of 4 to 15 s each.

    Raises:
        Failed: espeak-ng is not installed.
    """
    chance = random.Random(seed)
    made = [_clip(chance) for _ in range(clips)]
    watching = max(1, round(clips * VALIDATION_SHARE))
    return Corpus(made[watching:], made[:watching])


def clip_of(spoken: Spoken) -> Clip:
    """What the networks hear of an utterance, and what they shall make of it."""
    samples = len(spoken.audio)
    mel_frames = mel_frame_count(samples)
    mel = mel_spectrogram(spoken.audio, Span(0, samples), samples, Span(0, mel_frames))
    return Clip(mel, spoken_track(spoken))


def _clip(chance: random.Random) -> Clip:
    if chance.random() < SILENT_SHARE:
        return clip_of(silence(SILENT_S))
    text = " ".join(sentence(chance) for _ in range(SENTENCES_PER_CLIP))
    spoken = speak(text, any_voice(chance))
    before_s, after_s = (chance.uniform(0.0, LONGEST_PAUSE_S) for _ in range(2))
    return clip_of(padded(spoken, before_s, max(after_s, SHORTEST_CLIP_S - before_s - spoken.seconds)))
