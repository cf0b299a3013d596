"""What a media file is: the facts that commands print, and by which a finished video is checked."""

import struct
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from infra.errors import NotFound, Rejected
from infra.media_colour import MATRIX_OF_TAG, Matrix

# Code points of ITU-T H.273 that speech videos meet; others are given as their number.
_NAMES: Final = {1: "bt709", 2: None, 5: "bt470bg", 6: "smpte170m"}
_RANGES: Final = {0: None, 1: "limited", 2: "full"}


@dataclass(frozen=True)
class VideoFacts:
    """A video track.

    Attributes:
        codec: FFmpeg's name of it.
        width: in pixels.
        height: in pixels.
        frames: pictures in the file, counted.
        fps: average frame rate.
        constant_rate: whether every picture stands within one tick of its place at that rate.
        first_s: time of the first picture.
        duration_s: from the first picture to the end of the last.
        pixel_format: FFmpeg's name of it.
        colour_matrix: tag, None when the file does not say; likewise the other three.
        matrix: of the two that we know, the one that the tag means.
    """

    codec: str
    width: int
    height: int
    frames: int
    fps: Fraction
    constant_rate: bool
    first_s: float
    duration_s: float
    pixel_format: str | None
    colour_range: str | None
    colour_primaries: str | None
    colour_transfer: str | None
    colour_matrix: str | None
    matrix: Matrix | None


@dataclass(frozen=True)
class AudioFacts:
    """An audio track: codec, rate in Hz, channels, and its length, priming not counted."""

    codec: str
    sample_rate: int
    channels: int
    duration_s: float


@dataclass(frozen=True)
class MediaFacts:
    """A file; `faststart` says whether an MP4's index comes before its media (None: not an MP4)."""

    path: Path
    container: str
    faststart: bool | None
    video: VideoFacts | None
    audio: AudioFacts | None


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a file for reading; what goes wrong while it is open is translated.

    Raises:
        NotFound: there is no such file.
        Rejected: it cannot be read.
    """
    try:
        # An absolute path begins with "/", so FFmpeg never takes a file's name for a protocol ("data:…").
        with av.open(str(path.absolute()), "r", container_options={"protocol_whitelist": "file"}) as container:
            yield container
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist.") from None
    except (OSError, av.FFmpegError) as error:
        raise Rejected(f"{path} cannot be read ({error.strerror}): is it a video, and a whole one?") from error


def read_facts(path: Path) -> MediaFacts:
    """Read a file's facts; its packets are counted, none is decoded.

    Raises:
        Rejected: the file is missing, broken or no media.
    """
    with open_media(path) as container:
        streams, name = container.streams, container.format.name
        audio = _audio_facts(streams.audio[0], container) if streams.audio else None
        video = _video_facts(streams.video[0], container) if streams.video else None
    return MediaFacts(path, name, _is_faststart(path) if "mp4" in name else None, video, audio)


def describe(path: Path) -> dict[str, Any]:
    """The facts of a file as a JSON document: `container`, `faststart`, `video` and `audio` (None when absent).

    Raises:
        Rejected: the file is missing, broken or no media.
    """
    document = asdict(read_facts(path))
    document["path"] = str(path)
    if document["video"]:
        document["video"]["fps"] = float(document["video"]["fps"])
    return document


def _video_facts(stream: VideoStream, container: InputContainer) -> VideoFacts | None:
    """Facts of a video track; None when it has no pictures."""
    times = array("q", (packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size))
    codec, fps, tick = stream.codec_context, stream.average_rate, stream.time_base
    if not times or not fps or not tick:
        return None
    ticks = np.sort(np.frombuffer(times, np.int64))
    ideal = ticks[0] + np.arange(len(ticks)) / float(fps * tick)
    return VideoFacts(
        codec=codec.name,
        width=codec.width,
        height=codec.height,
        frames=len(ticks),
        fps=fps,
        constant_rate=bool(np.abs(ticks - ideal).max() <= 1),
        first_s=float(int(ticks[0]) * tick),
        duration_s=float(int(ticks[-1] - ticks[0]) * tick + 1 / fps),
        pixel_format=codec.pix_fmt,
        colour_range=_RANGES.get(codec.color_range),
        colour_primaries=_NAMES.get(codec.color_primaries, str(codec.color_primaries)),
        colour_transfer=_NAMES.get(codec.color_trc, str(codec.color_trc)),
        colour_matrix=_NAMES.get(codec.colorspace, str(codec.colorspace)),
        matrix=MATRIX_OF_TAG.get(codec.colorspace),
    )


def _audio_facts(stream: AudioStream, container: InputContainer) -> AudioFacts:
    codec = stream.codec_context
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    else:
        duration_s = (container.duration or 0) / av.time_base
    return AudioFacts(codec.name, codec.sample_rate, codec.channels, duration_s)


def _is_faststart(path: Path) -> bool:
    """Whether the box `moov` comes before `mdat`; boxes are `size, name, contents` (ISO/IEC 14496-12)."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name in {b"moov", b"mdat"}:
                return bool(name == b"moov")
            header = 8
            if size == 1:  # a 64-bit size follows
                size, header = int.from_bytes(file.read(8), "big"), 16
            if size < header:
                break
            file.seek(size - header, 1)
    return False
