"""Builders of media files for tests: good ones in every format, and the damage that real ones suffer."""

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from infra.media_decode import open_audio
from infra.media_planes import to_planes
from infra.media_video import SegmentEncoder, VideoFormat

Samples = npt.NDArray[np.float32]
"""`(n, channels)`, float32, in [-1, 1]."""

CODECS = {
    ".mp3": "libmp3lame",
    ".m4a": "aac",
    ".mp4": "aac",
    ".mov": "pcm_s16le",
    ".aac": "aac",
    ".mkv": "libmp3lame",
    ".webm": "libopus",
    ".aiff": "pcm_s16be",
}
"""What `write_audio` puts into a file by its extension, beside soundfile's .wav, .flac and .ogg."""


def chirp(seconds: float, rate_hz: int, channels: int = 1) -> Samples:
    """A sweep over the lower third of the band at half scale, another phase in every channel: no two places alike."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (100 * time_s + (rate_hz / 6 - 100) / (2 * max(seconds, 1e-9)) * time_s**2)
    return (0.5 * np.sin(phase[:, None] + np.arange(channels))).astype(np.float32)


def clicks(seconds: float, rate_hz: int, channels: int = 1) -> Samples:
    """Bursts of fixed noise, 20 ms each, at irregular places: a signal whose position is unmistakable."""
    rng = np.random.default_rng(7)
    samples = np.zeros((round(seconds * rate_hz), channels), np.float32)
    width = rate_hz // 50
    for start in np.cumsum(rng.integers(rate_hz // 8, rate_hz // 3, int(seconds * 8))):
        burst = rng.uniform(-0.6, 0.6, width).astype(np.float32)[: max(len(samples) - start, 0)]
        samples[start : start + width] += burst[:, None]
    return samples


def write_audio(path: Path, samples: Samples, rate_hz: int, subtype: str | None = None, **container: str) -> Path:
    """Write audio in the format that the extension names.

    Args:
        path: file to write.
        samples: `(n, channels)`, float32.
        rate_hz: sample rate; opus takes 48 000 only.
        subtype: soundfile's, for WAV, FLAC and OGG.
        **container: options of FFmpeg's muxer, e.g. `movflags="+faststart"`.
    """
    if path.suffix in {".wav", ".flac", ".ogg"}:
        soundfile.write(path, samples, rate_hz, subtype=subtype)
        return path
    with av.open(str(path), "w", container_options=container) as output:
        _add_audio(output, CODECS[path.suffix], samples, rate_hz)
    return path


def write_video(path: Path, frames: int, samples: Samples | None = None, rate_hz: int = 48_000) -> Path:
    """Write grey pictures of 64x48 at 25 fps, with an audio track when there are samples."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx" if path.suffix == ".webm" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        if samples is not None:
            _add_audio(output, CODECS[path.suffix], samples, rate_hz)
        for index in range(frames):
            picture = np.full((48, 64, 3), index % 256, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        output.mux(stream.encode(None))
    return path


def _add_audio(output: Any, codec: str, samples: Samples, rate_hz: int) -> None:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    stream = output.add_stream(codec, rate=rate_hz, layout=layout)
    for start in range(0, len(samples), 4800):
        block = np.ascontiguousarray(samples[start : start + 4800].T)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate_hz, start
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def copy_cut(source: Path, target: Path, *, keep: float) -> Path:
    """Copy the first part of a file, as an upload that broke off leaves it."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * keep)])
    return target


def copy_with_noise(source: Path, target: Path, *, at: float, width: int = 400) -> Path:
    """Copy a file with `width` bytes overwritten at the fraction `at` of its length."""
    data = bytearray(source.read_bytes())
    start = int(len(data) * at)
    data[start : start + width] = np.random.default_rng(3).bytes(width)
    target.write_bytes(data)
    return target


def copy_with_bytes(source: Path, target: Path, offset: int, value: bytes) -> Path:
    """Copy a file with `value` written over the bytes at `offset`."""
    data = bytearray(source.read_bytes())
    data[offset : offset + len(value)] = value
    target.write_bytes(data)
    return target


def wav_field(source: Path, target: Path, field: str, value: int) -> Path:
    """Copy a little-endian WAV with another number in one field of its header.

    Args:
        source: WAV whose chunk `fmt ` comes first, as soundfile writes it.
        target: file to write.
        field: channels, rate, byte_rate, block, bits or data_size.
        value: what the field shall claim.
    """
    data = source.read_bytes()
    places = {
        "channels": (22, "<H"),
        "rate": (24, "<I"),
        "byte_rate": (28, "<I"),
        "block": (32, "<H"),
        "bits": (34, "<H"),
    }
    places["data_size"] = (data.index(b"data") + 4, "<I")
    offset, form = places[field]
    return copy_with_bytes(source, target, offset, struct.pack(form, value))


def flac_total(source: Path, target: Path, samples: int) -> Path:
    """Copy a FLAC whose STREAMINFO claims another number of samples (36 bits; 0 means unknown)."""
    numbers = int.from_bytes(source.read_bytes()[18:26], "big") >> 36 << 36 | samples
    return copy_with_bytes(source, target, 18, numbers.to_bytes(8, "big"))


def matroska_rate(source: Path, target: Path, rate_hz: float) -> Path:
    """Copy a Matroska file whose track claims another SamplingFrequency (element 0xB5, a 64-bit float)."""
    offset = source.read_bytes().index(b"\xb5\x88") + 2
    return copy_with_bytes(source, target, offset, struct.pack(">d", rate_hz))


def decoded(path: Path, *, allow_truncated: bool = False) -> tuple[Samples, int]:
    """All samples of a file, and their rate."""
    with open_audio(path, allow_truncated=allow_truncated) as source:
        return np.concatenate(list(source.blocks())), source.sample_rate


def delay_s(reference: npt.NDArray[np.float32], heard: npt.NDArray[np.float32], rate_hz: int) -> float:
    """By how many seconds `heard` comes after `reference`, both `(n,)`: the peak of their cross-correlation."""
    size = 2 ** (len(reference) + len(heard)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size))
    lag = int(np.argmax(np.fft.irfft(product, size)))
    return (lag if lag < size // 2 else lag - size) / rate_hz


def moving(video: VideoFormat, index: int) -> npt.NDArray[np.uint8]:
    """A picture that no other index has, easily compressed."""
    rows, columns = np.mgrid[: video.height, : video.width]
    shades = np.stack([rows + 3 * index, columns + 2 * index, rows + columns + index], axis=-1)
    return (shades // 2 % 256).astype(np.uint8)


def segment(path: Path, video: VideoFormat, start: int, stop: int) -> Path:
    """Encode the frames `[start, stop)` of `moving` as the product does."""
    with SegmentEncoder(path, video, first_frame=start, threads=1) as encoder:
        for index in range(start, stop):
            encoder.write(to_planes(moving(video, index), video.matrix))
    return path
