"""Batches for the training of the hearing: stretches of clips, cut by the render contract's own index arithmetic."""

import random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jobs.timing import (
    FEATURES_AFTER,
    FEATURES_BEFORE,
    HOP_SAMPLES,
    MEL_BANDS,
    MEL_WINDOW_FRAMES,
    feature_count,
    mel_window_start,
    padded_feature_index,
)
from workers.presenter.hearing.data import Clip
from workers.render.mel import MAX_ABS


class Batch(NamedTuple):
    """Consecutive frames of several clips, as `Hearing` takes them, and their true mouths.

    Attributes:
        mel: float32 (N, 80, M), values in [-4, 4].
        starts: int64 (N, frames + 15), first mel frame of each feature's window.
        heard: float32 (N, frames + 15), 1 where there is such a feature, else 0.
        track: float32 (N, frames, 6), values in [0, 1].
    """

    mel: Tensor
    starts: Tensor
    heard: Tensor
    track: Tensor


def draw_batch(clips: list[Clip], size: int, frames: int, chance: random.Random) -> Batch:
    """`frames` frames of each of `size` clips; the ends of a clip are drawn more often than its middle.

    Args:
        clips: each at least `frames` output frames long.
        size: stretches in the batch.
        frames: output frames of a stretch.
        chance: what draws.
    """
    stretches = []
    for clip in chance.choices(clips, k=size):
        latest = len(clip.track) - frames
        first = min(max(chance.randint(-frames // 4, latest + frames // 4), 0), latest)
        stretches.append(stretch(clip, first, frames))
    mel_frames = max(piece.mel.shape[2] for piece in stretches)
    mel = torch.full((size, MEL_BANDS, mel_frames), -MAX_ABS)
    for place, piece in enumerate(stretches):
        mel[place, :, : piece.mel.shape[2]] = piece.mel[0]
    starts, heard, track = (torch.cat(parts) for parts in zip(*(piece[1:] for piece in stretches), strict=True))
    return Batch(mel, starts, heard, track)


def stretch(clip: Clip, first: int, frames: int) -> Batch:
    """Frames `[first, first + frames)` of one clip."""
    total, mel_frames = len(clip.track), clip.mel.shape[1]
    features = feature_count((mel_frames - 1) * HOP_SAMPLES)
    positions = range(first - FEATURES_BEFORE, first + frames - 1 + FEATURES_AFTER)
    heard = np.array([0 <= position < total for position in positions])
    starts = np.array([mel_window_start(padded_feature_index(at, features), mel_frames) for at in positions])
    origin, stop = starts[heard].min(), starts[heard].max() + MEL_WINDOW_FRAMES
    return Batch(
        mel=torch.from_numpy(clip.mel[None, :, origin:stop]),
        starts=torch.from_numpy(np.where(heard, starts - origin, 0)[None]),
        heard=torch.from_numpy(heard[None].astype(np.float32)),
        track=torch.from_numpy(clip.track[None, first : first + frames]),
    )


def whole(clip: Clip) -> Batch:
    """All frames of one clip."""
    return stretch(clip, 0, len(clip.track))
