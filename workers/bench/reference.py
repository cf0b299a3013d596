"""What our speed is compared with: frame by frame through PyTorch, as SyncTalk_2D's public inference does it.

Written from the render contract, with OpenCV's and PyTorch's own calls and none of our shortcuts; nothing is slowed
down: the same threads, no gradients, modules in evaluation mode. Its video is an AVI of JPEG pictures without sound,
as the public loop leaves it before another program makes the final file: that step counts for us and not against it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import soundfile

from jobs.avatar_spec import AvatarSpec
from jobs.timing import FPS, Span, feature_count, frame_count, mel_frame_count
from workers.avatar.pack import read_pack_spec
from workers.bench.machine import peak_memory_mb
from workers.bench.state import AUDIO_ENCODER_STATE, GENERATOR_STATE
from workers.bench.subject import Subject
from workers.render.mel import mel_spectrogram
from workers.render.template import template_index
from workers.render.windows import conditioning, mel_windows

if TYPE_CHECKING:
    from torch import nn

AUDIO_BATCH = 64  # of the public loop

Float32 = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ReferenceRender:
    """What the process of the loop saw; moments are seconds of `time.perf_counter`."""

    frames: int
    warm_s: float
    """When both networks were loaded."""
    done_s: float
    """When the video was finished."""
    framework: str
    threads: int
    peak_mb: float

    @property
    def fps(self) -> float:
        """Frames per second once the networks are loaded, to the finished video."""
        return self.frames / (self.done_s - self.warm_s)


def render_reference(subject: Subject, frames: int, keep: Path | None = None) -> ReferenceRender:
    """Render the first frames of a job; the function of the measured process.

    Args:
        subject: avatar and sound; its folder holds the checkpoints that `save_states` wrote.
        frames: how many.
        keep: folder for PNGs of the frames instead of a video.
    """
    import torch

    from workers.avatar.networks import framework

    torch.set_num_threads(subject.settings.threads)
    encoder = _load(framework.audio_encoder(), subject.folder / AUDIO_ENCODER_STATE)
    generator = _load(framework.Generator(), subject.folder / GENERATOR_STATE)
    warm_s = time.perf_counter()
    heard = _hear(encoder, subject.request(frames).audio, frames)
    spec, _ = read_pack_spec(subject.root)
    pictures = _pictures(generator, spec, subject.root, heard)
    if keep is not None:
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(keep / f"{index:06d}.png"), picture)
    else:
        size, motion_jpeg = (spec.frame_size.width, spec.frame_size.height), cv2.VideoWriter.fourcc(*"MJPG")
        video = cv2.VideoWriter(str(subject.folder / "reference.avi"), motion_jpeg, FPS, size)
        for picture in pictures:
            video.write(picture)
        video.release()
    return ReferenceRender(
        frames=frames,
        warm_s=warm_s,
        done_s=time.perf_counter(),
        framework=f"torch {torch.__version__}",
        threads=torch.get_num_threads(),
        peak_mb=peak_memory_mb(),
    )


def _load(network: "nn.Module", checkpoint: Path) -> "nn.Module":
    import torch

    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    return network.eval()


def _hear(encoder: Any, sound: Path, frames: int) -> Float32:
    """What each frame is conditioned on, float32 (frames, 32, 16, 16)."""
    import torch

    samples, _ = soundfile.read(sound, dtype="float32")
    mel_frames, features = mel_frame_count(samples.size), feature_count(samples.size)
    mel = mel_spectrogram(samples, Span(0, samples.size), samples.size, Span(0, mel_frames))
    windows = torch.from_numpy(mel_windows(mel, Span(0, mel_frames), mel_frames, Span(0, features)))
    with torch.no_grad():
        embedded = torch.cat([encoder(batch) for batch in windows.split(AUDIO_BATCH)]).numpy()
    total = frame_count(samples.size, "exact")
    return conditioning(embedded, Span(0, features), features, total, Span(0, frames))


def _pictures(generator: Any, spec: AvatarSpec, root: Path, heard: Float32) -> Iterator[Picture]:
    """One finished frame after the other, uint8 BGR."""
    import torch

    files = [str(root / name) for name in spec.template_files]
    for index, audio in enumerate(heard):
        template = template_index(index, len(files))
        picture = np.asarray(cv2.imread(files[template]), np.uint8)
        x0, y0, x1, y1 = spec.boxes[template]
        crop = cv2.resize(picture[y0:y1, x0:x1], (328, 328), interpolation=cv2.INTER_CUBIC)
        face = crop[4:324, 4:324]
        masked = face.copy()
        masked[5:310, 5:315] = 0
        seen = np.concatenate([face, masked], axis=2).transpose(2, 0, 1).astype(np.float32) / 255
        with torch.no_grad():
            drawn = generator(torch.from_numpy(seen)[None], torch.from_numpy(audio)[None])[0]
        crop[4:324, 4:324] = (drawn.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
        picture[y0:y1, x0:x1] = cv2.resize(crop, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
        yield picture
