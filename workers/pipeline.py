"""From a job's audio and an avatar to finished frames: stages that work at the same time, batch by batch."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from jobs.timing import Span, conditioning_features, feature_count, hearing, mel_frame_count
from workers.avatar.template import Template
from workers.render.crop import Picture
from workers.render.mel import mel_spectrogram
from workers.render.planes import Planes
from workers.render.template import template_index
from workers.render.windows import conditioning, mel_windows
from workers.stages import ahead, ahead_of_each
from workers.stopwatch import Stage, Stopwatch
from workers.warm import WarmAvatar

Float32 = npt.NDArray[np.float32]

ReadAudio = Callable[[Span], Float32]
"""Gives a range of the job's samples: float32, 16 kHz mono."""

HEARD_AHEAD_FRAMES: Final = 16
COMPOSED_AHEAD_FRAMES: Final = 8


class AudioEncoder(Protocol):
    """Whoever can turn mel windows float32 (N, 1, 80, 16) into audio features float32 (N, 512).

    The stopwatch records the runs of the network, as laps of `Stage.AUDIO`.
    """

    def encode(self, windows: Float32, stopwatch: Stopwatch) -> Float32: ...


class Part(NamedTuple):
    """Frames of a job that are to be rendered."""

    read_audio: ReadAudio
    """Asked once, for exactly what the frames hear."""
    samples: int
    """Of the whole job."""
    frames_total: int
    """Of the whole job."""
    frames: Span


class Painted(NamedTuple):
    """The face of one output frame."""

    frame: int
    """Its index, counted over the whole job."""
    template_frame: int
    face: Picture
    """uint8 (320, 320, 3), BGR."""


def hear(model: AudioEncoder, part: Part, batch: int, stopwatch: Stopwatch) -> Generator[tuple[Span, Float32]]:
    """What the frames of a part hear, batch by batch, features being made as frames need them.

    Yields:
        Output frames, and what they are conditioned on: float32 (frames, 32, 16, 16), the same bits whatever part and
        batch a frame belongs to.
    """
    _, samples, frames_total, frames = part
    heard, features = hearing(frames, frames_total, samples), feature_count(samples)
    audio = part.read_audio(heard.samples)
    with stopwatch.measure(Stage.AUDIO):
        spectrogram = mel_spectrogram(audio, heard.samples, samples, heard.mel)
        windows = mel_windows(spectrogram, heard.mel, mel_frame_count(samples), heard.features)
    embedded, known = np.empty((heard.features.size, 512), np.float32), 0
    for start in range(frames.start, frames.stop, batch):
        now = Span(start, min(start + batch, frames.stop))
        needed = conditioning_features(now, frames_total, features).stop - heard.features.start
        if needed > known:
            embedded[known:needed] = model.encode(windows[known:needed], stopwatch)
            known = needed
        with stopwatch.measure(Stage.AUDIO):
            conditions = conditioning(embedded, heard.features, features, frames_total, now)
        yield now, conditions


def paint(avatar: WarmAvatar, part: Part, stopwatch: Stopwatch) -> Generator[Painted]:
    """Draw the faces of a part's frames, in order, hearing ahead meanwhile."""
    painter, template_frames = avatar.painter, len(avatar.template)
    depth = -(-HEARD_AHEAD_FRAMES // painter.batch)
    with closing(ahead(hear(avatar, part, painter.batch, stopwatch), depth)) as heard:
        for frames, conditions in heard:
            indices = [template_index(frame, template_frames) for frame in range(*frames)]
            faces = painter.paint(indices, conditions, stopwatch)
            yield from map(Painted, range(*frames), indices, faces)


def compose(
    painted: Iterator[Painted], template: Template, threads: int, stopwatch: Stopwatch
) -> Generator[tuple[Painted, Planes]]:
    """Put faces into their template frames, in order, while the next ones are painted.

    Yields:
        A face, and the frame as the encoder takes it: uint8 (H * 3 // 2, W).
    """

    def one(face: Painted) -> tuple[Painted, Planes]:
        with stopwatch.measure(Stage.PASTE):
            pasted = template.paste(face.template_frame, face.face)
        with stopwatch.measure(Stage.COLOUR):
            return face, template.compose(face.template_frame, pasted)

    return ahead_of_each(one, painted, threads, COMPOSED_AHEAD_FRAMES)


def pictures(avatar: WarmAvatar, part: Part) -> Iterator[Picture]:
    """Render frames as pictures, uint8 (H, W, 3) BGR, for those who look at them and encode nothing."""
    template = avatar.template
    with closing(paint(avatar, part, Stopwatch())) as painted:
        for face in painted:
            yield template.picture(face.template_frame, template.paste(face.template_frame, face.face))
