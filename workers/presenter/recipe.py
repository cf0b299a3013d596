"""The whole recipe of the demo avatar, from nothing: draw, speak, train, export, measure.

The two halves of the training know nothing of each other, so they run side by side, each on one thread: the hearing
learns from sound what the mouth does, the painter learns to paint any mouth.
"""

import multiprocessing
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from infra.processes import end_with_parent
from infra.settings import Settings
from jobs.avatar_spec import AUDIO_ENCODER_FILE, GENERATOR_FILE, FrameSize, Provenance, VideoTemplate
from workers.avatar.pack import Pack, seal
from workers.canary import make_canary
from workers.presenter.exam import examine
from workers.presenter.exporting import export_networks
from workers.presenter.hearing.data import synthesise_corpus
from workers.presenter.hearing.networks import Hearing
from workers.presenter.hearing.training import train_hearing
from workers.presenter.lip_sync import compare
from workers.presenter.look.clip import MATRIX, read_clip, write_clip
from workers.presenter.look.idle import HEIGHT_PX, TEMPLATE_FRAMES, WIDTH_PX, crop_box
from workers.presenter.painting.networks import Painter
from workers.presenter.painting.training import TemplateWindows, train_painter
from workers.presenter.speech.held_out import HeldOut, demo_speech, write_flac, write_short_clips
from workers.warm import warm_up

MEDIAN_CORRELATION, WORST_CORRELATION = 0.85, 0.70
CONTROL_CORRELATION = 0.3  # of speech that is shifted by a fifth of a second
BORDER_STEP = 2.0  # grey levels

_TEMPLATE = VideoTemplate(matrix=MATRIX)


class Effort(NamedTuple):
    """How long to train, and on how much speech."""

    hearing_steps: int
    painting_steps: int
    clips: int
    """Utterances."""


class Figures(NamedTuple):
    """What was measured of one held-out voice; see `LipSync` and `Exam`."""

    voice: str
    frames: int
    correlation: float
    lag_frames: int
    early: float
    late: float
    slope_px: float
    border_step: float
    outside: int


def make_demo_avatar(folder: Path, effort: Effort, seed: int, settings: Settings) -> Pack:
    """Make everything that the demonstration and its tests need.

    Args:
        folder: to make; gets the pack in `demo`, its canary answer `demo-canary.png`, its digest `demo.sha256`, the
            demonstration's `speech.flac`, and the held-out clips in `lip_sync`.
        effort: how long to train.
        seed: of everything random; the same seed gives the same avatar on one machine with the same packages, but
            for the last digits of the hearing's weights.
        settings: how to run the finished networks.
    """
    root = folder / "demo"
    root.mkdir(parents=True)
    write_clip(root / _TEMPLATE.file)
    # A process for each: what espeak-ng says depends in its last bits on all that it has said before.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, end_with_parent, max_tasks_per_child=1) as processes:
        parts = (
            processes.submit(_clips, folder),
            processes.submit(_hearing, folder / "hearing.pt", seed, effort),
            processes.submit(_painting, root / _TEMPLATE.file, folder / "painter.pt", seed, effort.painting_steps),
        )
        for part in parts:
            part.result()
    return finish(folder, settings)


def finish(folder: Path, settings: Settings) -> Pack:
    """From the trained halves and the template clip in a folder to the pack and its canary."""
    hearing, painter = Hearing(), Painter()
    hearing.load_state_dict(torch.load(folder / "hearing.pt", weights_only=True))
    painter.load_state_dict(torch.load(folder / "painter.pt", weights_only=True))
    root = folder / "demo"
    export_networks(hearing, painter, root / GENERATOR_FILE, root / AUDIO_ENCODER_FILE)
    pack = seal(
        root,
        frame_size=FrameSize(width=WIDTH_PX, height=HEIGHT_PX),
        template=_TEMPLATE,
        boxes=tuple(crop_box(frame) for frame in range(TEMPLATE_FRAMES)),
        provenance=Provenance(layout="drawn", note="drawn and trained for this project: no real face, no real voice"),
        licence="Apache-2.0",
    )
    (folder / "demo.sha256").write_text(pack.digest + "\n")
    (folder / "demo-canary.png").write_bytes(make_canary(pack, settings))
    return pack


def measure(pack: Pack, clips: Iterable[HeldOut], settings: Settings) -> Iterator[Figures]:
    """Render clips that were held out and compare what is seen with the truth."""
    avatar = warm_up(pack, settings)
    for clip in clips:
        seen = examine(avatar, clip.spoken.audio)
        yield Figures(
            clip.voice.name, len(seen.openings), *compare(seen.openings, clip.opening), seen.border_step, seen.outside
        )


def shortcomings(figures: Sequence[Figures]) -> list[str]:
    """What keeps an avatar from being good enough to ship, one sentence each; the tests of what ships ask for the same.

    Args:
        figures: of all held-out voices.
    """
    correlations = [found.correlation for found in figures]
    median, worst = float(np.median(correlations)), min(correlations)
    asked = {
        f"correlation {median:.2f} in the median, {MEDIAN_CORRELATION} is asked for": median >= MEDIAN_CORRELATION,
        f"correlation {worst:.2f} at worst, {WORST_CORRELATION} is asked for": worst >= WORST_CORRELATION,
        "lips that are early or late": not any(found.lag_frames for found in figures),
        "lips that fit shifted speech": all(max(found.early, found.late) < CONTROL_CORRELATION for found in figures),
        "an edge around the pasted face": all(found.border_step < BORDER_STEP for found in figures),
        "pixels changed outside the crop box": not any(found.outside for found in figures),
    }
    return [sentence for sentence, kept in asked.items() if not kept]


def ship(folder: Path, repository: Path) -> None:
    """Put what was made where the package and its tests have it."""
    data = repository / "workers" / "data"
    for source, target in ((folder / "demo", data / "demo"), (folder / "lip_sync", repository / "tests/data/lip_sync")):
        new = target.with_name(f".{target.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(source, new)
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
    for name in ("demo-canary.png", "demo.sha256", "speech.flac"):
        shutil.copyfile(folder / name, data / name)


def _clips(folder: Path) -> None:
    write_flac(folder / "speech.flac", demo_speech())
    (folder / "lip_sync").mkdir()
    write_short_clips(folder / "lip_sync")


def _hearing(path: Path, seed: int, effort: Effort) -> None:
    torch.set_num_threads(1)
    corpus = synthesise_corpus(seed, effort.clips)
    torch.save(train_hearing(corpus, seed, effort.hearing_steps).state_dict(), path)


def _painting(clip: Path, path: Path, seed: int, steps: int) -> None:
    torch.set_num_threads(1)
    torch.save(train_painter(TemplateWindows.of(read_clip(clip)), seed, steps).state_dict(), path)
