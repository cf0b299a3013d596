"""H.264 segments and template clips: pictures in and out, with colours that survive the trip.

Colour is limited range; conversion *and* tags follow one matrix, BT.709 from 720 lines up and BT.601 below.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from infra.errors import Failed, Rejected
from infra.media_colour import MATRIX_OF_TAG, SCALER, TAG, Matrix, matrix_for
from infra.media_facts import VideoFacts, open_media, read_facts
from infra.media_output import open_output

__all__ = ["Matrix", "SegmentEncoder", "VideoFacts", "VideoFormat", "decode_video", "matrix_for", "probe_video"]

Picture = npt.NDArray[np.uint8]
"""`(height, width, 3)`, uint8, BGR."""

# Without ACCURATE_RND swscale is off by up to two levels; FULL_CHR_H_INT interpolates chroma instead of repeating it.
_EXACT: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_KEYFRAME_EVERY_S: Final = 2  # players seek to keyframes; two seconds is what streaming services use


@dataclass(frozen=True)
class VideoFormat:
    """How a job's pictures are encoded; all segments of a job share one.

    Attributes:
        width: in pixels, even.
        height: in pixels, even.
        fps: constant frame rate.
        crf: libx264's quality, 0 (lossless) to 51.
        preset: libx264's speed.
    """

    width: int
    height: int
    fps: int = 25
    crf: int = 20
    preset: str = "veryfast"

    @property
    def matrix(self) -> Matrix:
        """Matrix of conversion and tags, by the height."""
        return matrix_for(self.height)


class SegmentEncoder:
    """Encodes the frames `[first_frame, …)` of a job into one MP4 segment that carries its place in the job's time.

    A context manager: a clean exit finishes the file, an exception removes it. No B-frames, closed GOPs and one frame
    per 1/fps second, so that segments can be joined packet by packet.

    Args:
        path: segment to write.
        video: picture size and encoder settings.
        first_frame: `frame_index` of the first picture.
        threads: of the encoder; 0 means one per core.

    Raises:
        Failed: the file cannot be written, or no frame was written.
    """

    def __init__(self, path: Path, video: VideoFormat, *, first_frame: int = 0, threads: int = 0) -> None:
        self._path, self._video, self._threads = path, video, threads
        self._first_frame = self._next_frame = first_frame
        self._scaler = VideoReformatter()
        self._files = ExitStack()

    def __enter__(self) -> Self:
        # CMAF fragments with discontinuities are the flags that keep the decode time of the first frame.
        self._output = self._files.enter_context(open_output(self._path, "+cmaf+frag_discont+frag_keyframe"))
        video, tag = self._video, TAG[self._video.matrix]
        self._stream = self._output.add_stream(
            "libx264",
            rate=video.fps,
            options={"crf": str(video.crf), "preset": video.preset, "x264-params": "open-gop=0:scenecut=0:force-cfr=1"},
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = video.width, video.height, "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = Fraction(1, video.fps)
        codec.gop_size = _KEYFRAME_EVERY_S * video.fps
        codec.max_b_frames = 0
        codec.thread_count = self._threads
        codec.color_range = ColorRange.MPEG
        codec.color_primaries = codec.color_trc = codec.colorspace = tag
        return self

    def write(self, bgr: Picture) -> None:
        """Append one picture, `(height, width, 3)`, uint8, BGR."""
        if bgr.shape != (self._video.height, self._video.width, 3) or bgr.dtype != np.uint8:
            raise ValueError(f"a {bgr.dtype} picture of shape {bgr.shape} does not fit {self._video}")
        frame = self._scaler.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(bgr), format="bgr24"),
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=SCALER[self._video.matrix],
            dst_color_range=ColorRange.MPEG,
            interpolation=_EXACT,
        )
        frame.pts, frame.time_base = self._next_frame, Fraction(1, self._video.fps)
        self._output.mux(self._stream.encode(frame))
        self._next_frame += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._files.__exit__(kind, error, trace)
            return
        with self._files:
            if self._next_frame == self._first_frame:
                raise Failed(f"Encoding {self._path} ended without a single frame.")
            self._output.mux(self._stream.encode(None))


def decode_video(path: Path, matrix: Matrix | None) -> Iterator[Picture]:
    """Decode the pictures of a clip.

    Args:
        path: video file.
        matrix: how its colours are to be read; None means by its tags, and by its height when it has none.

    Yields:
        `(height, width, 3)`, uint8, BGR; one array per picture, owned by the caller.

    Raises:
        Rejected: the file is missing, broken or no video.
    """
    with open_media(path) as container:
        if not container.streams.video:
            raise Rejected(f"{path} has no video in it.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        chosen = matrix or MATRIX_OF_TAG.get(stream.codec_context.colorspace) or matrix_for(stream.codec_context.height)
        scaler = VideoReformatter()
        for frame in container.decode(stream):
            # Only a clip that says so is full range: cameras' JPEG pictures. Everything else is limited.
            full = frame.color_range == ColorRange.JPEG
            bgr = scaler.reformat(
                frame,
                format="bgr24",
                src_colorspace=SCALER[chosen],
                src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                dst_color_range=ColorRange.JPEG,
                interpolation=_EXACT,
            )
            yield np.asarray(bgr.to_ndarray(), np.uint8)


def probe_video(path: Path) -> VideoFacts:
    """Read the facts of a clip without decoding its pictures.

    Raises:
        Rejected: the file is missing, broken, or has no video.
    """
    video = read_facts(path).video
    if video is None:
        raise Rejected(f"{path} has no video in it.")
    return video
