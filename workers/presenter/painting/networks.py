"""The seeing half of the demo avatar's generator: a template frame and six articulators become a face.

Only the window that speech can change is painted; everything outside it is the template's own pixel, so that there is
nothing to see at the edge of the crop box. Within the window a mask says where paint covers the template.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.presenter.look.drawing import MOUTH_COLUMNS, MOUTH_ROWS
from workers.presenter.mouth import ARTICULATORS

WINDOW_HEIGHT_PX = MOUTH_ROWS.stop - MOUTH_ROWS.start
WINDOW_WIDTH_PX = MOUTH_COLUMNS.stop - MOUTH_COLUMNS.start
_STATE = 96  # numbers that the six articulators are spread into
_SHAPE = 8  # channels of the mouth's shape as the articulators alone describe it
_COARSE, _MIDDLE, _FINE = 64, 48, 24  # channels at 1/8, 1/4 and 1/2 of the window's size
_HALF_LEVEL = 0.5 / 255  # the contract truncates to uint8: half a level makes that rounding


class Painter(nn.Module):
    """Paints the mouth window: 1/4 of its size on the way in, 1/8 at the bottom, full size at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.state = nn.Sequential(
            nn.Linear(len(ARTICULATORS), _STATE), nn.ReLU(), nn.Linear(_STATE, _STATE), nn.ReLU()
        )
        self.shape = nn.Linear(_STATE, _SHAPE * self._bottom[0] * self._bottom[1])
        self.see = _Conv(48, _MIDDLE)
        self.shrink = _Conv(_MIDDLE, _COARSE, stride=2)
        self.join = _Conv(_COARSE + _SHAPE, _COARSE)
        self.coarse = nn.ModuleList(_Residual(_COARSE) for _ in range(3))
        self.to_middle = nn.Conv2d(_COARSE, 4 * _MIDDLE, 3, padding=1)
        self.middle_in = _Conv(2 * _MIDDLE, _MIDDLE)
        self.middle = _Residual(_MIDDLE)
        self.to_fine = nn.Conv2d(_MIDDLE, 4 * _FINE, 3, padding=1)
        self.fine_in = _Conv(_FINE + 12, _FINE)
        self.fine = _Residual(_FINE)
        self.paint = nn.Conv2d(_FINE, 4 * 4, 3, padding=1)

    _bottom = WINDOW_HEIGHT_PX // 8, WINDOW_WIDTH_PX // 8

    def forward(self, window: Tensor, articulators: Tensor) -> Tensor:
        """Paint.

        Args:
            window: (N, 3, 144, 208), BGR in [0, 1], the template's.
            articulators: (N, 6) in [0, 1].

        Returns:
            (N, 3, 144, 208), BGR in [0, 1].
        """
        state = self.state(articulators)
        seen = self.see(functional.pixel_unshuffle(window, 4))
        shape = self.shape(state).view(-1, _SHAPE, *self._bottom)
        coarse = self.join(torch.cat([self.shrink(seen), shape], 1))
        for block in self.coarse:
            coarse = block(coarse, state)
        middle = functional.pixel_shuffle(self.to_middle(coarse), 2)
        middle = self.middle(self.middle_in(torch.cat([middle, seen], 1)), state)
        fine = functional.pixel_shuffle(self.to_fine(middle), 2)
        fine = self.fine(self.fine_in(torch.cat([fine, functional.pixel_unshuffle(window, 2)], 1)), state)
        painted = torch.sigmoid(functional.pixel_shuffle(self.paint(fine), 2))
        paint, cover = painted[:, :3], painted[:, 3:]
        return window + cover * (paint - window)


class Generator(nn.Module):
    """The whole generator of the render contract: hears, and paints the window into the face.

    Args of the call: input (N, 6, 320, 320), the face and its masked copy, of which only the face is looked at;
    audio (N, 32, 16, 16). Returns (N, 3, 320, 320) in [0, 1].
    """

    def __init__(self, hear: nn.Module, painter: Painter):
        super().__init__()
        self.hear = hear
        self.painter = painter

    def forward(self, faces: Tensor, audio: Tensor) -> Tensor:
        """See the class."""
        face = faces[:, :3]
        top, left = MOUTH_ROWS.start, MOUTH_COLUMNS.start
        bottom, right = MOUTH_ROWS.stop, MOUTH_COLUMNS.stop
        window = self.painter(face[:, :, top:bottom, left:right], self.hear(audio))
        row = torch.cat([face[:, :, top:bottom, :left], window, face[:, :, top:bottom, right:]], 3)
        whole = torch.cat([face[:, :, :top], row, face[:, :, bottom:]], 2)
        return torch.clamp(whole + _HALF_LEVEL, 0.0, 1.0)


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, tensor: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(tensor)))


class _Residual(nn.Module):
    """Two convolutions beside a way past them; the articulators' state scales and shifts what lies between."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.modulate = nn.Linear(_STATE, 2 * channels)

    def forward(self, tensor: Tensor, state: Tensor) -> Tensor:
        scale, shift = self.modulate(state)[:, :, None, None].chunk(2, 1)
        between = functional.relu(self.norm(self.first(tensor)) * (1 + scale) + shift)
        return functional.relu(tensor + self.second_norm(self.second(between)))
