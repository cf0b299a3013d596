"""The mel spectrogram equals librosa's, from the shortest legal file on."""

import librosa
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.timing import Span, mel_frame_count
from tests.unit import naive
from workers.render import mel as code
from workers.render.mel import mel_spectrogram

Float32 = npt.NDArray[np.float32]

TOLERANCE = 1e-6
"""On a scale of [-4, 4] the last bit of a float32 is 4.8e-7; all else is float64 on both sides."""


def whole(audio: Float32) -> Float32:
    return mel_spectrogram(audio, Span(0, len(audio)), len(audio), Span(0, mel_frame_count(len(audio))))


def impulse(at: int, samples: int = 4000) -> Float32:
    audio = np.zeros(samples, np.float32)
    audio[at] = 1.0
    return audio


@pytest.mark.parametrize("samples", [*range(3000, 3402, 67), 12_799, 12_800, 12_801, 13_000, 25_600, 48_000, 160_001])
def test_mel_equals_librosa(samples: int) -> None:
    audio = naive.speech(samples, seed=samples)
    expected = naive.mel(audio)
    found = whole(audio)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (80, 1 + samples // 200)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    assert np.ptp(found) > 2, "a spectrogram that shows nothing would equal anything"


@given(samples=st.integers(3000, 20_000), seed=st.integers(0, 2**32 - 1), loudness=st.floats(1e-7, 1.0))
def test_mel_equals_librosa_at_any_length_and_loudness(samples: int, seed: int, loudness: float) -> None:
    audio = np.random.default_rng(seed).uniform(-loudness, loudness, samples).astype(np.float32)
    np.testing.assert_allclose(whole(audio), naive.mel(audio), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("at", [0, 1, 199, 200, 399, 400, 401, 2000, 3599, 3600, 3998, 3999])
def test_a_single_impulse_is_seen_as_librosa_sees_it(at: int) -> None:
    found = whole(impulse(at))
    np.testing.assert_allclose(found, naive.mel(impulse(at)), rtol=0, atol=TOLERANCE)
    hearing = [frame for frame in range(found.shape[1]) if found[:, frame].max() > -4]
    assert hearing, "the impulse must be heard"
    # A window reaches from 400 samples before its centre to 399 after it; pre-emphasis echoes one sample later.
    assert all(-400 <= at - 200 * frame < 400 or -400 <= at + 1 - 200 * frame < 400 for frame in hearing)


@pytest.mark.parametrize("level", [1.0, -1.0])
def test_full_scale_equals_librosa(level: float) -> None:
    audio = np.full(16_000, level, np.float32)
    np.testing.assert_allclose(whole(audio), naive.mel(audio), rtol=0, atol=TOLERANCE)


def test_the_loudest_alternation_is_cut_at_the_upper_end() -> None:
    tone = np.sign(np.sin(2 * np.pi * 3000 * np.arange(16_000) / 16_000 + 0.1)).astype(np.float32)
    audio = 100 * tone  # float files may exceed full scale
    found = whole(audio)
    assert found.max() == 4.0
    np.testing.assert_allclose(found, naive.mel(audio), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("samples", [3000, 16_000])
def test_silence_is_the_lowest_value_everywhere(samples: int) -> None:
    audio = np.zeros(samples, np.float32)
    assert (whole(audio) == -4.0).all()
    assert (naive.mel(audio) == -4.0).all()


def test_the_filter_bank_is_librosas() -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600, htk=False, norm="slaney")
    found = code._filter_bank()
    assert found.shape == expected.shape == (80, 401)
    # Both round to float32 once or twice on the way: two units in the last place of a weight.
    np.testing.assert_allclose(found, expected, rtol=3e-7, atol=0)


def test_the_window_is_a_periodic_hann() -> None:
    np.testing.assert_allclose(code._hann(), librosa.filters.get_window("hann", 800, fftbins=True), rtol=0, atol=1e-15)


def test_the_audio_is_left_as_it_was() -> None:
    audio = naive.speech(4000)
    before = audio.copy()
    whole(audio)
    assert np.array_equal(audio, before)
