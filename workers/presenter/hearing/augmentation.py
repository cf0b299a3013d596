"""Augmentation: what recordings do to a voice, done to its mel frames: another throat, room, level and background."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from workers.render.mel import LOWEST_DB, MAX_ABS

UNITS_PER_DB = 2 * MAX_ABS / -LOWEST_DB  # 0.08: the spectrogram's scale
_NEPERS_PER_UNIT = math.log(10.0) / 20.0 / UNITS_PER_DB  # from its values to the logarithm of an amplitude

WARP = 0.10  # formants move up or down by up to a tenth: the size of the speaker's throat
FORMANT_KNOTS = 6  # and each of them on its own: its shape
FORMANT_BANDS = 1.0  # standard deviation at each knot; 2.6 bands are a tenth of the frequency above 1 kHz
GAIN_DB = (-22.0, 8.0)
EQUALISER_KNOTS = 6
EQUALISER_DB = 4.0  # standard deviation at each knot: microphones and rooms
NOISE_SHARE = 0.8
NOISE_DB = (0.0, 40.0)  # above the spectrogram's lowest value
NOISE_TILT_DB = (-18.0, 6.0)  # from its lowest to its highest band: most noise is low
NOISE_FLICKER_DB = 4.0
MASK_SHARE = 0.3
MASK_BANDS = 10


def augmented(mel: Tensor, chance: torch.Generator) -> Tensor:
    """The same speech under other conditions.

    Args:
        mel: float32 (N, 80, M), values in [-4, 4].
        chance: what draws the conditions, others for each of N.
    """
    mel = _warped(mel, chance)
    mel = mel + UNITS_PER_DB * (_uniform(mel, chance, *GAIN_DB) + _curve(mel, chance, EQUALISER_KNOTS, EQUALISER_DB))
    return _masked(_noisy(mel, chance), chance).clamp(-MAX_ABS, MAX_ABS)


def _uniform(mel: Tensor, chance: torch.Generator, low: float, high: float) -> Tensor:
    """One number for each of N: (N, 1, 1)."""
    return low + (high - low) * torch.rand((len(mel), 1, 1), generator=chance)


def _warped(mel: Tensor, chance: torch.Generator) -> Tensor:
    bands = mel.shape[1]
    stretched = torch.arange(bands)[None, :, None] * _uniform(mel, chance, 1 - WARP, 1 + WARP)
    places = (stretched + _curve(mel, chance, FORMANT_KNOTS, FORMANT_BANDS)).clamp(0, bands - 1.001)
    below = places.long().expand(-1, -1, mel.shape[2])
    return torch.lerp(mel.gather(1, below), mel.gather(1, below + 1), places - places.floor())


def _curve(mel: Tensor, chance: torch.Generator, knots: int, deviation: float) -> Tensor:
    """A random curve along the bands, straight between its knots: (N, 80, 1)."""
    values = deviation * torch.randn((len(mel), 1, knots), generator=chance)
    return functional.interpolate(values, mel.shape[1], mode="linear", align_corners=True).transpose(1, 2)


def _noisy(mel: Tensor, chance: torch.Generator) -> Tensor:
    tilt = torch.linspace(0.0, 1.0, mel.shape[1])[None, :, None] * _uniform(mel, chance, *NOISE_TILT_DB)
    flicker = NOISE_FLICKER_DB * torch.randn(mel.shape, generator=chance)
    noise = -MAX_ABS + UNITS_PER_DB * (_uniform(mel, chance, *NOISE_DB) + tilt + flicker)
    power = 2 * _NEPERS_PER_UNIT
    mixed = torch.logaddexp(mel * power, noise * power) / power
    return torch.where(_uniform(mel, chance, 0, 1) < NOISE_SHARE, mixed, mel)


def _masked(mel: Tensor, chance: torch.Generator) -> Tensor:
    """Some bands are lost in some: what they say must be heard in others, too."""
    bands = torch.arange(mel.shape[1])[None, :, None]
    first = _uniform(mel, chance, 0, mel.shape[1])
    lost = (bands >= first) & (bands < first + _uniform(mel, chance, 1, MASK_BANDS))
    return torch.where(lost & (_uniform(mel, chance, 0, 1) < MASK_SHARE), mel.mean((1, 2), keepdim=True), mel)
