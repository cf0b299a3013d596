"""What a job makes of a source's audio: the mono samples that its frames hear, and the track that its viewers hear.

Both stream: memory does not grow with the length of the source, and no statistic of the whole clip is taken.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
import soxr

from infra.media_decode import AudioSource
from infra.media_output import open_output

# Sampling frequencies of MPEG-4 audio (ISO/IEC 14496-3, table 1.18).
AAC_RATES_HZ: Final = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)

Samples = npt.NDArray[np.float32]


def mono_blocks(source: AudioSource, rate_hz: int) -> Iterator[Samples]:
    """Mix to mono (mean of the channels) and resample (soxr, HQ).

    Args:
        source: an open source whose blocks were not read yet.
        rate_hz: rate of the result.

    Yields:
        `(n,)`, float32, of any length; together the whole clip.
    """
    mono = (block.mean(axis=1, dtype=np.float32, keepdims=True) for block in source.blocks())
    for block in _resampled(mono, 1, source.sample_rate, rate_hz):
        yield block[:, 0]


def encode_m4a(
    source: AudioSource, path: Path, *, bit_rate: int = 128_000, watch: Callable[[], object] = lambda: None
) -> float:
    """Encode a source as AAC in an .m4a file.

    One or two channels stay as they are; more become their mean, since what each of them carries is often unknown.
    The rate stays too when AAC has it, otherwise the next higher one is taken (96 kHz at most). The file's edit list
    hides the encoder's priming, so that its first audible sample is the source's first.

    Args:
        source: an open source whose blocks were not read yet.
        path: file to write.
        bit_rate: bits per second of the whole track.
        watch: called between blocks; what it raises ends the work.

    Returns:
        Length of the encoded audio in seconds, priming excluded.

    Raises:
        Rejected: the source turns out to be damaged.
        Failed: the file cannot be written.
    """
    channels = source.channels if source.channels <= 2 else 1
    rate_hz = min((rate for rate in AAC_RATES_HZ if rate >= source.sample_rate), default=AAC_RATES_HZ[-1])
    blocks: Iterable[Samples] = source.blocks()
    if channels != source.channels:
        blocks = (block.mean(axis=1, dtype=np.float32, keepdims=True) for block in blocks)
    samples = 0
    # Durations in the header count in samples, not in the muxer's milliseconds.
    with open_output(path, "+faststart", movie_timescale=str(rate_hz)) as output:
        layout = "mono" if channels == 1 else "stereo"
        stream = output.add_stream("aac", rate=rate_hz, layout=layout, format="fltp")
        stream.codec_context.bit_rate = bit_rate
        for block in _resampled(blocks, channels, source.sample_rate, rate_hz):
            watch()
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, samples, Fraction(1, rate_hz)
            output.mux(stream.encode(frame))
            samples += len(block)
        output.mux(stream.encode(None))
    return samples / rate_hz


def _resampled(blocks: Iterable[Samples], channels: int, from_hz: int, to_hz: int) -> Iterator[Samples]:
    """Resample a stream of `(n, channels)` blocks; untouched when the rates are equal, and never an empty block."""
    if from_hz == to_hz:
        yield from blocks
        return
    resampler = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
    for block in blocks:
        if len(ready := _as_samples(resampler.resample_chunk(np.ascontiguousarray(block)))):
            yield ready
    if len(ready := _as_samples(resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True))):
        yield ready


def _as_samples(array: npt.NDArray[np.generic]) -> Samples:
    return np.asarray(array, np.float32)
