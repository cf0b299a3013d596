"""Voices and words that the hearing never met: the clips of the tests, and the speech of the demo."""

import json
from pathlib import Path
from typing import NamedTuple

import soundfile

from infra.store_directory import file_error
from jobs.timing import SAMPLE_RATE_HZ
from workers.presenter.mouth import OPEN
from workers.presenter.speech.espeak import Voice, speak
from workers.presenter.speech.sentences import DEMO_SPEECH, HELD_OUT
from workers.presenter.speech.utterance import Spoken, joined, padded
from workers.presenter.speech.visemes import Float32, spoken_track
from workers.presenter.speech.voices import DEMO
from workers.presenter.speech.voices import HELD_OUT as HELD_OUT_VOICES

SILENCE_S = 0.3  # before and after the speech of a clip
DEMO_PAUSE_S = 0.8  # between the parts of the demo's speech: long enough to see the mouth at rest


class HeldOut(NamedTuple):
    """A held-out voice with words that are held out, too."""

    voice: Voice
    text: str
    spoken: Spoken

    @property
    def opening(self) -> Float32:
        """The truth: how far the mouth is open in every frame, float32 (frames,) in [0, 1]."""
        return spoken_track(self.spoken)[:, OPEN]


def short_clips() -> list[HeldOut]:
    """The clips of the tests, 8 to 10 s each: every held-out voice with a text of its own."""
    return [_held_out(voice, text) for voice, text in zip(HELD_OUT_VOICES, HELD_OUT, strict=True)]


def long_clips() -> list[HeldOut]:
    """What the figures are taken from, 16 to 20 s each: every held-out voice with its own text and the next one's."""
    texts = [f"{text} {following}" for text, following in zip(HELD_OUT, HELD_OUT[1:] + HELD_OUT[:1], strict=True)]
    return [_held_out(voice, text) for voice, text in zip(HELD_OUT_VOICES, texts, strict=True)]


def demo_speech() -> Spoken:
    """What the demonstration says, with one long pause."""
    before, after = DEMO_SPEECH
    return joined(padded(speak(before, DEMO), SILENCE_S, DEMO_PAUSE_S), padded(speak(after, DEMO), 0.0, SILENCE_S))


def write_short_clips(folder: Path) -> None:
    """Write `<voice>.flac` and `<voice>.json` for each held-out voice: the sound, and the true opening of every frame.

    Raises:
        Failed: espeak-ng is not installed, or the folder cannot be written to.
    """
    for held_out in short_clips():
        path = folder / f"{held_out.voice.name}.flac"
        write_flac(path, held_out.spoken)
        opening = held_out.opening
        facts = {
            "voice": held_out.voice._asdict(),
            "text": held_out.text,
            "frames": len(opening),
            "open": [round(float(value), 3) for value in opening],
        }
        try:
            path.with_suffix(".json").write_text(json.dumps(facts) + "\n")
        except OSError as error:
            raise file_error(f"Writing {path.with_suffix('.json')}", error) from error


def write_flac(path: Path, spoken: Spoken) -> None:
    """Write 16-bit FLAC, 16 kHz mono.

    Raises:
        Failed: `path` cannot be written.
    """
    try:
        with path.open("wb") as file:
            soundfile.write(file, spoken.audio, SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
    except OSError as error:
        raise file_error(f"Writing {path}", error) from error


def _held_out(voice: Voice, text: str) -> HeldOut:
    return HeldOut(voice, text, padded(speak(text, voice), SILENCE_S, SILENCE_S))
