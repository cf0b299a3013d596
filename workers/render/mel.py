"""Mel spectrogram of the render contract, the same to the last bit for a chunk as for the whole file.

A matrix product of another width may give other last bits. So all work is done in blocks of 64 mel frames that lie on
one global grid: a mel frame is always the same row of the same block, whatever range was asked for, and what stands
in the other rows cannot touch it. Arithmetic is float64, as in the reference (its pre-emphasis filter promotes).
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from jobs.timing import HOP_SAMPLES, MEL_BANDS, SAMPLE_RATE_HZ, WINDOW_SAMPLES, Span

PRE_EMPHASIS = 0.97
LOWEST_HZ, HIGHEST_HZ = 55.0, 7600.0
FLOOR = 1e-5  # amplitude below which everything is silence: -100 dB
REFERENCE_DB = 20.0
LOWEST_DB = -100.0
MAX_ABS = 4.0  # the spectrogram is scaled to [-4, 4]
BLOCK_FRAMES = 64

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def mel_spectrogram(audio: Float32, held: Span, total: int, mel: Span) -> Float32:
    """Mel frames `mel` of a job's audio.

    Args:
        audio: float32, shape (held.size,), 16 kHz mono: the part of the job's audio that is at hand.
        held: which samples of the whole audio those are; must cover `timing.sample_span(mel, total)`.
        total: samples of the whole audio; beyond both of its ends the signal is zero.
        mel: half-open range of mel frames.

    Returns:
        float32, shape (80, mel.size), values in [-4, 4].
    """
    signal = _pre_emphasised(audio)
    blocks = range(mel.start // BLOCK_FRAMES, (mel.stop - 1) // BLOCK_FRAMES + 1)
    columns = np.concatenate([_block(signal, held, total, block) for block in blocks], axis=1)
    first = mel.start - blocks.start * BLOCK_FRAMES
    return np.ascontiguousarray(columns[:, first : first + mel.size])


def _pre_emphasised(audio: Float32) -> Float64:
    """`y[n] = x[n] - 0.97 x[n-1]`, `y[0] = x[0]`; the first sample of a later part only serves its successor."""
    signal = audio.astype(np.float64)
    signal[1:] -= PRE_EMPHASIS * audio[:-1].astype(np.float64)
    return signal


def _block(signal: Float64, held: Span, total: int, block: int) -> Float32:
    """Mel frames `[64 block, 64 block + 64)`; those whose samples are not at hand come out meaningless."""
    start = block * BLOCK_FRAMES * HOP_SAMPLES - WINDOW_SAMPLES // 2
    padded = np.zeros((BLOCK_FRAMES - 1) * HOP_SAMPLES + WINDOW_SAMPLES)
    first, last = max(start, held.start), min(start + padded.size, held.stop, total)
    if first < last:
        padded[first - start : last - start] = signal[first - held.start : last - held.start]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    magnitude = np.abs(np.fft.rfft(frames * _hann(), axis=1))
    level_db = 20.0 * np.log10(np.maximum(FLOOR, _filter_bank() @ magnitude.T)) - REFERENCE_DB
    scaled = 2 * MAX_ABS * (level_db - LOWEST_DB) / -LOWEST_DB - MAX_ABS
    return np.clip(scaled, -MAX_ABS, MAX_ABS).astype(np.float32)


@lru_cache(maxsize=1)
def _hann() -> Float64:
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)


@lru_cache(maxsize=1)
def _filter_bank() -> Float64:
    """Triangular filters (80, 401) on Slaney's mel scale with Slaney's area normalisation, rounded to float32.

    Source: M. Slaney, "Auditory Toolbox", Interval Research technical report 1998-010.
    """
    lowest_mel, highest_mel = map(float, _hz_to_mel(np.array([LOWEST_HZ, HIGHEST_HZ])))
    edges_hz = _mel_to_hz(np.linspace(lowest_mel, highest_mel, MEL_BANDS + 2))
    bins_hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1.0 / SAMPLE_RATE_HZ)
    ramps = edges_hz[:, None] - bins_hz[None, :]
    widths = np.diff(edges_hz)[:, None]
    rising, falling = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    triangles *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return triangles.astype(np.float64)


# Slaney's scale: linear up to 1 kHz at 3 mel per 200 Hz, then 27 mel per factor 6.4.
_LINEAR_HZ = 200.0 / 3.0
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: Float64) -> Float64:
    logarithmic = _KNEE_MEL + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return np.where(hz < _KNEE_HZ, hz / _LINEAR_HZ, logarithmic)


def _mel_to_hz(mel: Float64) -> Float64:
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL)))
