"""Training of the hearing: seeded, counted in steps, on one thread, so that it repeats."""

import math
import random

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jobs.console import say
from workers.presenter.hearing.augmentation import augmented
from workers.presenter.hearing.batches import draw_batch, whole
from workers.presenter.hearing.data import Clip, Corpus
from workers.presenter.hearing.networks import Hearing
from workers.presenter.lip_sync import compare
from workers.presenter.mouth import ARTICULATORS, OPEN, Mouth

BATCH_CLIPS = 12
BATCH_FRAMES = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
WARM_UP_STEPS = 100
LONGEST_GRADIENT = 1.0
REPORT_STEPS = 50
VALIDATION_STEPS = 500

# What a wrong articulator costs: the opening is what everybody sees, the tongue hardly anybody.
COST = Mouth(open=4.0, width=1.0, round=1.5, teeth=0.7, tongue=0.5, tuck=1.5)
# The extremes cost more, else the mouth settles for half-open wherever it is in doubt.
EXTREME_COST = 2.0
MEAN_OPENING = 0.25  # of the training tracks


def train_hearing(corpus: Corpus, seed: int, steps: int) -> Hearing:
    """Train from nothing.

    Args:
        corpus: what to learn from.
        seed: of the first weights and of every draw.
        steps: of the optimiser.

    Returns:
        the trained networks, in evaluation mode.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    chance, torch_chance = random.Random(seed), torch.Generator().manual_seed(seed)
    hearing = Hearing().train()
    hearing.encoder.to(memory_format=torch.channels_last)  # 1.3 times faster
    optimizer = torch.optim.AdamW(hearing.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    mean_loss = 0.0
    for step in range(1, steps + 1):
        batch = draw_batch(corpus.training, BATCH_CLIPS, BATCH_FRAMES, chance)
        mouths = hearing(augmented(batch.mel, torch_chance), batch.starts, batch.heard)
        loss = _loss(mouths, batch.track)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(hearing.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        mean_loss += loss.item() / REPORT_STEPS
        if step % REPORT_STEPS == 0:
            say(f"hearing: step {step} of {steps}, loss {mean_loss:.4f}")
            mean_loss = 0.0
        if step % VALIDATION_STEPS == 0 or step == steps:
            say(f"hearing: step {step} of {steps}, {_validation(hearing, corpus.validation)}")
    return hearing.eval()


def mouth_tracks(hearing: Hearing, clips: list[Clip]) -> list[npt.NDArray[np.float32]]:
    """What the networks make of clips: float32 (frames, 6) for each, values in [0, 1]."""
    was_training = hearing.training
    hearing.eval()
    with torch.inference_mode():
        batches = [whole(clip) for clip in clips]
        tracks = [hearing(batch.mel, batch.starts, batch.heard)[0].numpy() for batch in batches]
    hearing.train(was_training)
    return tracks


def _rate(step: int, steps: int) -> float:
    """A short warm-up, then half a cosine down to nothing."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _loss(mouths: Tensor, track: Tensor) -> Tensor:
    extreme = 1.0 + EXTREME_COST * (track[:, :, OPEN] - MEAN_OPENING).abs()
    wrong = (mouths - track).square() + 0.1 * (mouths - track).abs()
    wrong[:, :, OPEN] *= extreme
    return (wrong * torch.tensor(COST)).mean()


def _validation(hearing: Hearing, clips: list[Clip]) -> str:
    seen = np.concatenate(mouth_tracks(hearing, clips))
    true = np.concatenate([clip.track for clip in clips])
    found = [compare(seen[:, place], true[:, place]) for place in range(len(ARTICULATORS))]
    figures = ", ".join(f"{name} {each.correlation:.3f}" for name, each in zip(ARTICULATORS, found, strict=True))
    return f"correlation on other clips of these voices: {figures}; slope of the opening {found[OPEN].slope:.2f}"
