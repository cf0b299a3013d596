"""Teaching the painter: every step draws new mouths on the template, as many as it likes, and none twice.

The painter is told the articulators that the picture was drawn from. Had it to guess them from sound, it would paint
what it is unsure of as a blur; so the uncertainty stays in the hearing half, as a smaller movement, and never becomes
a smear. What a mouth does not change is, in the target as in the input, the template's own pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jobs.console import say
from workers.presenter.look.drawing import draw_window, mouth_window
from workers.presenter.mouth import ARTICULATORS, REST, Mouth
from workers.presenter.painting.networks import Painter
from workers.render.crop import Picture

_BATCH = 16
_RATE, _WARM_UP_STEPS = 2e-3, 100
_CHANGED_WEIGHT = 8.0  # of a pixel that the mouth changes, against 1 of one that stays
_EDGE_WEIGHT = 1.0  # of differences between neighbouring pixels: lips and teeth have edges
_CHANGE_LEVELS = 1  # grey levels of change above which a pixel is the drawing's
_SMEAR = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))  # how far the encoder smears an edge of the template


@dataclass(frozen=True)
class TemplateWindows:
    """The mouth windows of all template frames, uint8 (frames, 144, 208, 3), BGR."""

    template: npt.NDArray[np.uint8]
    """As decoded from the clip."""
    at_rest: npt.NDArray[np.uint8]
    """As drawn with the mouth at rest."""

    @classmethod
    def of(cls, frames: list[Picture]) -> "TemplateWindows":
        """Cut the windows out of the decoded template frames."""
        boxes = [mouth_window(index) for index in range(len(frames))]
        cut = [frame[y0:y1, x0:x1] for frame, (x0, y0, x1, y1) in zip(frames, boxes, strict=True)]
        return cls(np.stack(cut), np.stack([draw_window(index, REST) for index in range(len(frames))]))

    def target(self, frame: int, mouth: Mouth) -> Picture:
        """The window as it should be painted: the drawing where the mouth changes it, elsewhere the template."""
        drawn = draw_window(frame, mouth)
        changed = np.abs(drawn.astype(np.int16) - self.at_rest[frame]).max(2) > _CHANGE_LEVELS
        share = cv2.GaussianBlur(cv2.dilate(changed.astype(np.float32), _SMEAR), (0, 0), 1.5)[:, :, None]
        return np.asarray(np.rint(share * drawn + (1 - share) * self.template[frame]), np.uint8)


def random_mouth(rng: np.random.Generator) -> Mouth:
    """Any mouth: each articulator at rest, at its end, or anywhere between."""
    values = rng.random(len(ARTICULATORS))
    kinds = rng.random(len(ARTICULATORS))
    values[kinds < 0.3] = 0.0
    values[kinds > 0.95] = 1.0
    return Mouth(*map(float, values))


def train_painter(windows: TemplateWindows, seed: int, steps: int) -> Painter:
    """Train a painter from nothing.

    Args:
        windows: the template.
        seed: the same seed gives the same painter on one machine with one version of PyTorch.
        steps: of 16 pictures each.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    painter = Painter().train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(painter.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=_RATE, total_steps=steps, pct_start=min(_WARM_UP_STEPS / steps, 0.3)
    )
    recent = 0.0
    for step in range(1, steps + 1):
        window, articulators, target = _batch(windows, rng)
        loss = _loss(painter(window, articulators), window, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        recent += float(loss.detach())
        if step % 50 == 0:
            say(f"painting: step {step} of {steps}, loss {recent / 50:.4f}")
            recent = 0.0
    return painter.eval()


def _batch(windows: TemplateWindows, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    frames = rng.integers(len(windows.template), size=_BATCH)
    mouths = [random_mouth(rng) for _ in frames]
    targets = np.stack([windows.target(int(frame), mouth) for frame, mouth in zip(frames, mouths, strict=True)])
    return _tensor(windows.template[frames]), torch.tensor(mouths, dtype=torch.float32), _tensor(targets)


def _tensor(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, 3) → float32 (N, 3, H, W) in [0, 1]; the bytes stay where they are, channels last."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def _loss(painted: Tensor, window: Tensor, target: Tensor) -> Tensor:
    weight = 1.0 + _CHANGED_WEIGHT * ((target - window).abs().amax(1, keepdim=True) > 4 / 255)
    error = painted - target
    level = (weight * error.abs()).mean()
    down = (weight[:, :, 1:] * (error[:, :, 1:] - error[:, :, :-1]).abs()).mean()
    across = (weight[:, :, :, 1:] * (error[:, :, :, 1:] - error[:, :, :, :-1]).abs()).mean()
    return level + _EDGE_WEIGHT * (down + across)
