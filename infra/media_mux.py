"""Joining segments and one audio track into the video of a job, without touching a picture or a sample."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from infra.errors import Failed
from infra.media_facts import MediaFacts, read_facts
from infra.media_output import open_output

# The file's index names places of runs, not of packets: with runs of a second it is half as long, and players load it
# before they show anything. It is what is kept in memory, too: about 25 MB for an hour of video and its sound.
_RUN_US: Final = 1_000_000


def remux(
    segments: Iterable[Path],
    audio: Path | None,
    out: Path,
    *,
    fps: int,
    frames: int,
    audio_may_exceed: bool = False,
) -> None:
    """Join segments in order and add the audio; packets are copied, global frame `i` is shown at `i / fps`.

    Each segment is closed before the next one is asked for, so the caller may fetch one at a time and delete it after.

    Args:
        segments: MP4 files of H.264 without B-frames, all encoded alike.
        audio: file whose first audio track is copied, or None.
        out: MP4 to write, its index first (faststart).
        fps: frame rate of the result.
        frames: number of frames that the segments must have together.
        audio_may_exceed: whether the audio may be longer than the video by more than one frame.

    Raises:
        Failed: segments are broken, differ in their encoding or have another number of frames in all, audio and video
            differ by more than one frame in length, or the file cannot be written. No file is left then.
    """
    with ExitStack() as files:
        sound = files.enter_context(_open(audio)) if audio else None
        if sound and not sound.streams.audio:
            raise Failed(f"{audio} has no audio track to join with the video: encode it again.")
        # A movie timescale in which both samples and frames are whole keeps the lengths in the header exact.
        timescale = sound.streams.audio[0].codec_context.sample_rate if sound else 1000
        options = {"movie_timescale": str(timescale), "chunk_duration": str(_RUN_US)}
        output = files.enter_context(open_output(out, "+faststart", **options))
        found = _copy(segments, sound, output, fps)
        if found != frames:
            raise Failed(f"Joining {out} found {found} frames in the segments where {frames} belong.")
    try:
        _verify(read_facts(out), fps, frames, with_audio=audio is not None, audio_may_exceed=audio_may_exceed)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _copy(segments: Iterable[Path], sound: InputContainer | None, output: OutputContainer, fps: int) -> int:
    """Copy all packets, both tracks advancing together so that the muxer has nothing to keep; return the frames."""
    tick = Fraction(1, fps)
    index = 0
    video: VideoStream | None = None
    first: tuple[object, ...] = ()
    track = _Track(None, output)
    for path in segments:
        with _open(path) as segment:
            if not segment.streams.video:
                raise Failed(f"The segment {path} has no video track.")
            source = segment.streams.video[0]
            if video is None:
                video, first = output.add_stream_from_template(source), _encoding(source)
                track = _Track(sound, output)
            elif _encoding(source) != first:
                raise Failed(f"The segment {path} is encoded differently from the first one: render it again.")
            for packet in _packets(segment, source):
                track.copy_until(index * tick)
                packet.stream, packet.time_base = video, tick
                packet.pts = packet.dts = index
                packet.duration = 1
                output.mux_one(packet)
                index += 1
    track.copy_until(None)
    return index


class _Track:
    """The audio track of the output, copied as far as it is wanted."""

    def __init__(self, sound: InputContainer | None, output: OutputContainer) -> None:
        self._output = output
        self._packets: Iterator[Packet[Any]] = iter(())
        if sound is not None:
            source = sound.streams.audio[0]
            self._stream = output.add_stream_from_template(source)
            self._packets = _packets(sound, source)
        self._waiting = next(self._packets, None)

    def copy_until(self, time_s: Fraction | None) -> None:
        """Copy the packets that begin by `time_s`, or all."""
        while (packet := self._waiting) is not None:
            if time_s is not None and packet.dts is not None and packet.dts * packet.time_base > time_s:
                return
            packet.stream = self._stream
            self._output.mux_one(packet)
            self._waiting = next(self._packets, None)


def _encoding(stream: VideoStream) -> tuple[object, ...]:
    """What segments must share to be one stream; the extradata holds H.264's parameter sets."""
    codec = stream.codec_context
    return codec.name, codec.width, codec.height, codec.extradata


def _verify(facts: MediaFacts, fps: int, frames: int, *, with_audio: bool, audio_may_exceed: bool) -> None:
    video, audio = facts.video, facts.audio
    tolerance = 1 + fps / 1000  # one frame, and a millisecond for the rounding of rates
    wrong = None
    if video is None or video.codec != "h264":
        wrong = "has no H.264 track"
    elif video.frames != frames:
        wrong = f"has {video.frames} frames where {frames} belong"
    elif video.first_s != 0 or video.fps != fps or not video.constant_rate:
        wrong = f"does not show one frame every 1/{fps} s from 0 on"
    elif (audio is not None) != with_audio:
        wrong = "lost its audio track" if with_audio else "has an audio track that nobody asked for"
    elif audio is not None:
        ahead_frames = (audio.duration_s - video.duration_s) * fps
        if ahead_frames < -tolerance or (ahead_frames > tolerance and not audio_may_exceed):
            wrong = f"has {audio.duration_s:.3f} s of audio for {video.duration_s:.3f} s of video"
    if wrong:
        raise Failed(f"The joined video {facts.path} {wrong}: assemble it again.")


@contextmanager
def _open(path: Path) -> Iterator[InputContainer]:
    """Open one of our own files."""
    try:
        container = av.open(str(path.absolute()), "r", format="mp4")
    except (OSError, av.FFmpegError) as error:
        raise Failed(f"{path} cannot be joined into a video ({error.strerror}): make it again.") from error
    with container:
        yield container


def _packets(container: InputContainer, stream: VideoStream | AudioStream) -> "Iterator[Packet[Any]]":
    """Read a track; errors of reading are translated here, before they could be taken for errors of writing."""
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise Failed(f"{container.name} ends early and cannot be joined into a video: make it again.")
            if packet.size:  # an empty one is how the demuxer says that it is done
                yield packet
    except (OSError, av.FFmpegError) as error:
        raise Failed(f"{container.name} cannot be joined into a video ({error.strerror}): make it again.") from error
