"""What is measured with: an avatar, generated sound, and a folder that leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from infra.settings import Settings
from jobs.scratch import scratch_folder
from jobs.submit import JobRequest
from jobs.timing import MIN_SAMPLES, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from workers.avatar.pack import Pack, open_pack
from workers.avatar.synthetic import make_synthetic
from workers.bench.machine import threads_of
from workers.bench.processes import in_its_own_process
from workers.local_render import open_avatar
from workers.warm import warm_up

YARDSTICK = "yardstick"
"""The synthetic avatar of the real size at 1280x720: what figures are compared by, everywhere."""
TEMPLATE_FRAMES = 50  # two seconds: walked forward and back, most frames come more than once
LOUDNESS = 0.1  # standard deviation of the noise; speed does not depend on what is heard


@dataclass(frozen=True)
class Subject:
    """Everything that a benchmark needs; it can be sent to another process.

    Attributes:
        name: of the avatar, as it was asked for.
        root: the folder of its pack.
        folder: for whatever the benchmark writes; vanishes at the end.
        settings: the user's own, with a local fleet, a store and a cache in `folder`.
        batch: frames in one run of the generator.
        template_frames: of the avatar's clip.
    """

    name: str
    root: Path
    folder: Path
    settings: Settings
    batch: int
    template_frames: int

    def request(self, frames: int) -> JobRequest:
        """A job of at least so many frames, its sound generated: noise, the same every time."""
        sound = self.folder / f"sound-{frames}.wav"
        if not sound.exists():
            samples = max(frames * SAMPLES_PER_FRAME, MIN_SAMPLES)
            noise = np.random.default_rng(0).normal(0, LOUDNESS, samples).astype(np.float32)
            soundfile.write(sound, noise, SAMPLE_RATE_HZ)
        return JobRequest(audio=sound, owner="bench", require_consent=self.settings.require_consent)


@contextmanager
def benchmark_subject(avatar: str | None, settings: Settings) -> Iterator[Subject]:
    """Make ready what is measured with: a host's caches are filled, as they are from an avatar's second job on.

    Args:
        avatar: folder, name or digest; None for the yardstick.
        settings: the user's own; their store is asked for the avatar.

    Raises:
        NotFound: there is no such avatar.
        Failed: it is damaged, or the package `onnx` is missing, which draws the yardstick.
    """
    with scratch_folder() as folder:
        pack = _pack(avatar, settings, folder)
        own = settings.model_copy(
            update={
                "home": folder / "home",
                "cache": folder / "cache",
                "store": (folder / "home" / "store").as_uri(),
                "redis_url": None,
                "threads": threads_of(settings),
            }
        )
        batch = in_its_own_process(fill_caches, pack.root, own).answer
        yield Subject(avatar or YARDSTICK, pack.root, folder, own, batch, pack.spec.frame_count)


def fill_caches(root: Path, settings: Settings) -> int:
    """Load an avatar once, and give the batch that was chosen for it; the function of a process of its own."""
    return warm_up(open_pack(root), settings).painter.batch


def _pack(avatar: str | None, settings: Settings, folder: Path) -> Pack:
    if avatar is not None:
        return open_avatar(avatar, settings)
    return make_synthetic(folder, frames=TEMPLATE_FRAMES)
