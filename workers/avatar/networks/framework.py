"""The two networks as PyTorch modules with a checkpoint's own names, to compare with what was written as ONNX.

Written down apart from `topology` and from the other end, as layers that hold state: `load_state_dict` with
`strict=True` proves that both mean the same network.
"""

from collections import OrderedDict
from typing import cast

import torch
from torch import nn


class InvertedResidual(nn.Module):
    """1x1 to twice the width, 3x3 depthwise, 1x1 back, each normalised; plus the input when residual."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, residual: bool):
        super().__init__()
        wide = 2 * inputs
        self.residual = residual
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        branch = cast(torch.Tensor, self.conv(tensor))
        return branch + tensor if self.residual else branch


class ConvBlock(nn.Module):
    """A normalised convolution of the audio encoder; plus the input when residual; rectified."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int | tuple[int, int] = 1,
        *,
        kernel: int = 3,
        padding: int = 1,
        residual: bool = False,
    ):
        super().__init__()
        self.residual = residual
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) → (N, outputs, H', W')."""
        branch = cast(torch.Tensor, self.conv_block(tensor))
        return torch.relu(branch + tensor if self.residual else branch)


def _named(**layers: nn.Module) -> nn.Sequential:
    """Layers one after the other, each with its name in the checkpoint."""
    return nn.Sequential(OrderedDict(layers))


def _double(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    first = InvertedResidual(inputs, outputs, stride, residual=False)
    return _named(double_conv=nn.Sequential(first, InvertedResidual(outputs, outputs, residual=True)))


def _audio_branch() -> nn.Sequential:
    return _named(
        conv1=InvertedResidual(32, 64, residual=False),
        conv2=InvertedResidual(64, 128, residual=False),
        conv3=nn.Conv2d(128, 256, 3, padding=1),
        bn3=nn.BatchNorm2d(256),
        relu3=nn.ReLU(),
        conv4=InvertedResidual(256, 256, residual=True),
        conv5=nn.Conv2d(256, 512, 3, stride=2, padding=3),
        bn5=nn.BatchNorm2d(512),
        relu5=nn.ReLU(),
        conv6=InvertedResidual(512, 512, residual=True),
        conv7=InvertedResidual(512, 512, residual=True),
    )


class Generator(nn.Module):
    """The network that draws the face."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = _named(inconv=nn.Sequential(InvertedResidual(6, 32, residual=False)))
        self.down1, self.down2, self.down3, self.down4, self.down5 = (
            _named(maxpool_conv=nn.Sequential(_double(inputs, outputs, 2)))
            for inputs, outputs in ((32, 32), (32, 64), (64, 128), (128, 256), (256, 512))
        )
        self.audio_model = _audio_branch()
        self.fuse_conv = nn.Sequential(_double(1024, 512), _double(512, 256))
        self.up1, self.up2, self.up3, self.up4, self.up5 = (
            _named(conv=_double(inputs, outputs))
            for inputs, outputs in ((512, 128), (256, 64), (128, 32), (64, 32), (64, 16))
        )
        self.outc = _named(conv=nn.Conv2d(16, 3, 1))

    def forward(self, faces: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Faces (N, 6, 320, 320) and their audio (N, 32, 16, 16) → pictures (N, 3, 320, 320) in [0, 1]; all float32."""
        skips = [self.inc(faces)]
        for down in (self.down1, self.down2, self.down3, self.down4, self.down5):
            skips.append(down(skips[-1]))
        tensor = self.fuse_conv(torch.cat([skips.pop(), self.audio_model(audio)], dim=1))
        for up in (self.up1, self.up2, self.up3, self.up4, self.up5):
            larger = nn.functional.interpolate(tensor, scale_factor=2, mode="bilinear", align_corners=True)
            tensor = up(torch.cat([larger, skips.pop()], dim=1))
        return torch.sigmoid(self.outc(tensor))


def audio_encoder() -> nn.Sequential:
    """The network that hears: mel windows (N, 1, 80, 16) → features (N, 512), all float32."""
    return nn.Sequential(
        ConvBlock(1, 32),
        ConvBlock(32, 32, residual=True),
        ConvBlock(32, 32, residual=True),
        ConvBlock(32, 64, (3, 1)),
        ConvBlock(64, 64, residual=True),
        ConvBlock(64, 64, residual=True),
        ConvBlock(64, 128, 3),
        ConvBlock(128, 128, residual=True),
        ConvBlock(128, 128, residual=True),
        ConvBlock(128, 256, (3, 2)),
        ConvBlock(256, 256, residual=True),
        ConvBlock(256, 512, padding=0),
        ConvBlock(512, 512, kernel=1, padding=0),
        nn.Flatten(),
    )
