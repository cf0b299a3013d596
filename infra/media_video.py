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
from av.video.reformatter import ColorRange, VideoReformatter

from infra.errors import Failed, Rejected
from infra.media_codecs import Codec, encoder_options
from infra.media_colour import MATRIX_OF_TAG, SCALER, TAG, Matrix, matrix_for
from infra.media_facts import VideoFacts, open_media, read_facts
from infra.media_output import Blocks, open_blocks, open_output
from infra.media_planes import EXACT, Picture, Planes

__all__ = ["Matrix", "SegmentEncoder", "VideoFacts", "VideoFormat", "decode_video", "matrix_for", "probe_video"]

# CMAF fragments with discontinuities are the flags that keep the decode time of the first frame.
_FLAGS: Final = "+cmaf+frag_discont+frag_keyframe"
_KEYFRAME_EVERY_S: Final = 2  # players seek to keyframes; two seconds is what streaming services use


@dataclass(frozen=True)
class VideoFormat:
    """How a job's pictures are encoded; all segments of a job share one.

    Attributes:
        width: in pixels, even.
        height: in pixels, even.
        fps: constant frame rate.
        crf: quality in libx264's terms, 0 (lossless) to 51.
        preset: speed in libx264's terms.
        codec: the encoder.
    """

    width: int
    height: int
    fps: int = 25
    crf: int = 20
    preset: str = "veryfast"
    codec: Codec = "libx264"

    @property
    def matrix(self) -> Matrix:
        """Matrix of conversion and tags, by the height."""
        return matrix_for(self.height)


class SegmentEncoder:
    """Encodes the frames `[first_frame, …)` of a job into one MP4 segment that carries its place in the job's time.

    A context manager: a clean exit finishes the file, an exception removes it. No B-frames, closed GOPs and one frame
    per 1/fps second, so that segments can be joined packet by packet.

    Args:
        target: the segment's file, or where its bytes go.
        video: picture size and encoder settings.
        first_frame: `frame_index` of the first picture.
        threads: of libx264, 0 for as many as it likes.
        device: index of the NVIDIA card, for h264_nvenc.

    Raises:
        Failed: the file cannot be written, or no frame was written.
    """

    def __init__(
        self, target: Path | Blocks, video: VideoFormat, *, first_frame: int = 0, threads: int = 0, device: int = 0
    ) -> None:
        self._target, self._video, self._threads, self._device = target, video, threads, device
        self._first_frame = self._next_frame = first_frame
        self._files = ExitStack()

    def __enter__(self) -> Self:
        target = self._target
        output = open_blocks(target, _FLAGS) if isinstance(target, Blocks) else open_output(target, _FLAGS)
        self._output = self._files.enter_context(output)
        video, tag = self._video, TAG[self._video.matrix]
        self._stream = self._output.add_stream(
            video.codec,
            rate=video.fps,
            options=encoder_options(video.codec, video.crf, video.preset, self._device),
        )
        self._stream.width, self._stream.height, self._stream.pix_fmt = video.width, video.height, "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = Fraction(1, video.fps)
        codec.gop_size = _KEYFRAME_EVERY_S * video.fps
        codec.max_b_frames = 0
        codec.bit_rate = 0  # what decides is the quality
        codec.thread_count = self._threads
        codec.thread_type = "FRAME"  # slices, which PyAV would choose, are slower and cost bytes
        codec.color_range = ColorRange.MPEG
        codec.color_primaries = codec.color_trc = codec.colorspace = tag
        return self

    def write(self, planes: Planes) -> None:
        """Append one picture, `(height * 3 // 2, width)`, uint8: see `infra.media_planes.to_planes`."""
        if planes.shape != (self._video.height * 3 // 2, self._video.width) or planes.dtype != np.uint8:
            raise ValueError(f"{planes.dtype} planes of shape {planes.shape} do not fit {self._video}")
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._next_frame, Fraction(1, self._video.fps)
        self._encode(frame)
        self._next_frame += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._files.__exit__(kind, error, trace)
            return
        with self._files:
            if self._next_frame == self._first_frame:
                raise Failed(f"Encoding {self._name} ended without a single frame.")
            self._encode(None)

    @property
    def _name(self) -> str:
        return "a segment" if isinstance(self._target, Blocks) else str(self._target)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """Encode a picture, or what the encoder still holds when there is none."""
        try:
            packets = self._stream.encode(frame)
        except av.FFmpegError as error:
            codec = self._video.codec
            raise Failed(f"Encoding {self._name} with {codec} failed ({error.strerror}).") from error
        self._output.mux(packets)


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
                interpolation=EXACT,
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
