"""Every format that soundfile does not read (mp3, m4a, mp4, mkv, webm, aac …), through PyAV."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from infra.errors import Rejected
from infra.media_headers import mp3_frames, ogg_intact_bytes
from infra.media_source import AudioSource, Block, Damaged

# Files that hold their media, and no playlists: those could name other files and servers.
_FORMATS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,webm,wv"
)
_EXACT: Final = {"mov", "aiff", "caf", "ogg"}  # their headers, indexes or pages count samples
_FULL_SCALE: Final = {"u1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31}
_SLACK_S: Final = 0.25  # two AAC frames at 8 kHz, 2 x 1024 samples: what priming and padding may hide


class ContainerSource(AudioSource):
    """The first audio track of anything that FFmpeg can read."""

    slack_s = _SLACK_S

    def __init__(self, path: Path, *, allow_truncated: bool) -> None:
        self._files = ExitStack()
        options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
        try:
            # An absolute path begins with "/", so FFmpeg never takes a file's name for a protocol ("data:…").
            self._input = self._files.enter_context(av.open(str(path.absolute()), container_options=options))
        except (OSError, ValueError, av.FFmpegError):
            raise Rejected(
                f"{path} cannot be opened as audio or video: it is another kind of file, or its header is missing."
            ) from None
        try:
            if not self._input.streams.audio:
                raise Rejected(f"{path} has no audio track.")
            self._stream = self._input.streams.audio[0]
            codec = self._stream.codec_context
            if codec is None:
                raise Rejected(f"{path} has audio in a format for which there is no decoder: convert it to WAV.")
            super().__init__(path, codec.sample_rate, codec.channels, allow_truncated=allow_truncated)
        except Rejected:
            self.close()
            raise
        if self._input.format.name == "ogg":
            self.cut_short = not ogg_intact_bytes(path)[1]
        self.declared_s = None if self.cut_short else _claimed_s(self._input, self._stream, path)

    def close(self) -> None:
        self._files.close()

    def _decode(self) -> Iterator[Block]:
        # Plain samples that end early are merely fewer, and their claimed length judges that.
        plain = self._stream.codec_context.name.startswith("pcm_")
        try:
            for packet in self._input.demux(self._stream):
                if packet.is_corrupt and not plain:
                    raise Damaged
                for frame in self._frames(packet):
                    self._check(frame)
                    yield _as_block(frame)
        except (OSError, ValueError, av.FFmpegError):
            raise Damaged from None

    def _frames(self, packet: "Packet[AudioStream]") -> list[AudioFrame]:
        try:
            return packet.decode()
        except (OSError, ValueError, av.FFmpegError):
            # What follows when all that was claimed is there may be a stray tag, or a second file put behind the first.
            if self.declared_s is None or self.is_missing_some:
                raise
            return []

    def _check(self, frame: AudioFrame) -> None:
        if (frame.sample_rate, frame.layout.nb_channels) != (self.sample_rate, self.channels):
            raise Rejected(
                f"{self.path} claims {self.channels} channels at {self.sample_rate} Hz but has "
                f"{frame.layout.nb_channels} at {frame.sample_rate} Hz at {self.usable_s:.3f} s: convert it to WAV."
            )


def _claimed_s(container: InputContainer, stream: AudioStream, path: Path) -> float | None:
    """Length of the track in seconds as its file claims it; None when FFmpeg would only estimate it."""
    kind = container.format.name.split(",")[0]
    if kind in _EXACT:
        return float((stream.duration or 0) * (stream.time_base or 0)) or None
    if kind == "mp3" and (frames := mp3_frames(path)):  # FFmpeg replaces this by an estimate when bytes follow
        rate_hz = stream.codec_context.sample_rate
        return frames * (1152 if rate_hz >= 32_000 else 576) / rate_hz  # MPEG-1; MPEG-2 and 2.5
    if kind == "matroska":  # a tag per track, if any; the header's length is that of the longest track
        for name, value in stream.metadata.items():
            if name.upper().startswith("DURATION"):
                hours, minutes, seconds = value.split(":")
                return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if len(container.streams) == 1 and container.duration:
            return container.duration / av.time_base
    return None


def _as_block(frame: AudioFrame) -> Block:
    samples = frame.to_ndarray()  # (channels, n) when planar, (1, n * channels) when not
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    block = samples.T.astype(np.float32)
    scale = _FULL_SCALE.get(samples.dtype.str[1:])
    if scale is not None:
        block = (block - (scale if samples.dtype.kind == "u" else 0)) / scale
    return np.ascontiguousarray(block, np.float32)
