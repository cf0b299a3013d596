"""Synthetic speech with the time of every phoneme: espeak-ng, reached through ctypes.

The synthesiser only lends its voice and says when it utters what; neither its code nor its data goes any further.
Its versions speak slightly differently, so recipes that must repeat to the bit need the same one.
"""

import ctypes
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from infra.errors import Failed
from jobs.timing import SAMPLE_RATE_HZ
from workers.presenter.speech.utterance import Phoneme, Spoken

LIBRARY = "libespeak-ng.so.1"

# Constants of espeak-ng's public header, speak_lib.h.
_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: the call returns when all samples have been handed over
_OPTIONS = 0x0001 | 0x0002 | 0x8000  # phoneme events, with IPA names, and no exit() on an error
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_EVENTS_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_BUFFER_MS = 500
_OK = 0

Float32 = npt.NDArray[np.float32]


class Voice(NamedTuple):
    """Who speaks, and how.

    Attributes:
        name: accent, or accent and variant: `en-us`, `en-us+f2`.
        rate: words per minute, 80 to 450.
        pitch: 0 to 100, within the variant's own range.
        range: how lively the pitch moves, 0 to 100.
        size: the speaker's length against the variant's: formants, pitch and pace are divided by it.
    """

    name: str
    rate: int = 165
    pitch: int = 50
    range: int = 50
    size: float = 1.0


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)  # (samples or null, how many, events)


class _Synthesiser:
    """The one synthesiser of this process: the library has no handles."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise Failed(f"Speech cannot be synthesised, since {LIBRARY} is missing: install espeak-ng.") from error
        self._sample_rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, None, _OPTIONS)
        if self._sample_rate_hz <= 0:
            raise Failed("Speech cannot be synthesised: espeak-ng found no voice data; install espeak-ng-data.")
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._phonemes: list[tuple[int, str]] = []  # first sample, symbol
        self._callback = _Callback(self._receive)  # kept: the library only borrows it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice) -> Spoken:
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != _OK:
            raise Failed(
                f"espeak-ng has no voice '{voice.name}': install all of espeak-ng-data, or use its release 1.51."
            )
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._blocks, self._phonemes = [], []
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        if self._library.espeak_Synth(data, size, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None) != _OK:
            raise Failed(f"espeak-ng could not say '{text}' as '{voice.name}'.")
        rate_hz = self._sample_rate_hz / voice.size
        samples = np.concatenate(self._blocks).astype(np.float32) / np.float32(32768)
        audio = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, quality="HQ").clip(-1, 1)
        return Spoken(audio, [Phoneme(sample / rate_hz, symbol) for sample, symbol in self._phonemes])

    def _receive(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENTS_END:
            if events[index].type == _EVENT_PHONEME:
                self._phonemes.append((events[index].sample, events[index].id.string.decode("utf-8", "ignore")))
            index += 1
        return 0  # go on


@lru_cache(maxsize=1)
def _synthesiser() -> _Synthesiser:
    return _Synthesiser()


def speak(text: str, voice: Voice) -> Spoken:
    """Say `text`.

    Raises:
        Failed: espeak-ng or the voice is not installed.
    """
    return _synthesiser().speak(text, voice)
