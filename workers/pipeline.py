"""From a job's audio and an avatar to finished frames, batch by batch."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from jobs.timing import Span, feature_count, hearing, mel_frame_count
from workers.avatar.template import Template
from workers.lip_model import LipModel
from workers.render.composite import face_picture, paste
from workers.render.crop import Picture, network_input
from workers.render.mel import mel_spectrogram
from workers.render.template import template_index
from workers.render.windows import conditioning, mel_windows

ReadAudio = Callable[[Span], npt.NDArray[np.float32]]
"""Gives a range of the job's samples: float32, 16 kHz mono."""


def hear(
    model: LipModel, read_audio: ReadAudio, samples: int, frames_total: int, frames: Span
) -> npt.NDArray[np.float32]:
    """What each of `frames` hears.

    Args:
        model: its audio encoder is used.
        read_audio: access to the job's audio; asked once, for exactly what the frames hear.
        samples: samples of the whole job.
        frames_total: output frames of the whole job.
        frames: half-open range of output frames.

    Returns:
        float32 (frames.size, 32, 16, 16), the same bits whatever range a frame is part of.
    """
    heard = hearing(frames, frames_total, samples)
    spectrogram = mel_spectrogram(read_audio(heard.samples), heard.samples, samples, heard.mel)
    embedded = model.encode(mel_windows(spectrogram, heard.mel, mel_frame_count(samples), heard.features))
    return conditioning(embedded, heard.features, feature_count(samples), frames_total, frames)


def render_frames(
    model: LipModel, template: Template, audio: npt.NDArray[np.float32], frames: Span
) -> Iterator[Picture]:
    """Render a range of output frames, in order.

    Args:
        model: the avatar's networks.
        template: the avatar's template clip.
        audio: what `hear` returned for these frames.
        frames: half-open range of output frames, counted over the whole job.

    Yields:
        uint8 (H, W, 3), BGR.
    """
    for start in range(frames.start, frames.stop, model.batch):
        batch = range(start, min(start + model.batch, frames.stop))
        indices = [template_index(frame, len(template)) for frame in batch]
        faces = np.stack([network_input(template.crops[index]) for index in indices])
        heard = audio[batch.start - frames.start : batch.stop - frames.start]
        for index, picture in zip(indices, model.generate(faces, heard), strict=True):
            face = face_picture(picture)
            yield paste(
                template.frames[index], template.crops[index], face, template.boxes[index], template.keep_mask(index)
            )
