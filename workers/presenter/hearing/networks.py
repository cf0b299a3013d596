"""The hearing half of the demo avatar: the audio encoder, and the generator's audio branch that reads the mouth.

Both are plain convolutions without padding along time. So a whole clip goes through at once in training, and every
mel window and every 16 features give exactly what they would give on their own, which is how the fleet runs them.
"""

import torch
from torch import Tensor, nn

from jobs.timing import FEATURE_WIDTH, FEATURES_AFTER, FEATURES_BEFORE, MEL_BANDS, MEL_WINDOW_FRAMES
from workers.presenter.mouth import ARTICULATORS
from workers.render.mel import MAX_ABS

HEARD_FEATURES = FEATURES_BEFORE + FEATURES_AFTER
# Along (mel bands, mel frames): bands are halved four times, each layer takes one mel frame off both ends.
ENCODER_WIDTHS = (24, 32, 48, 64)
ENCODER_MOMENTS = MEL_WINDOW_FRAMES - 2 * len(ENCODER_WIDTHS)  # 8
MOMENT_WIDTH = FEATURE_WIDTH // ENCODER_MOMENTS  # 64 values for each of the 8 moments: 512
BRANCH_WIDTH = 96
BRANCH_KERNELS = (5, 5, 8)  # together they take all 16 features: 16 - 4 - 4 - 7 = 1
DROPOUT = 0.1


class AudioEncoder(nn.Module):
    """From mel windows (N, 1, 80, 16), values in [-4, 4], to features (N, 512), zero or above; float32."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in ENCODER_WIDTHS:
            convolution = nn.Conv2d(before, width, 3, stride=(2, 1), padding=(1, 0), bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        bands = MEL_BANDS // 2 ** len(ENCODER_WIDTHS)
        layers += [nn.Conv2d(before, MOMENT_WIDTH, (bands, 1), bias=False), nn.BatchNorm2d(MOMENT_WIDTH), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, windows: Tensor) -> Tensor:
        return self.moments(windows).flatten(1)

    def moments(self, mel: Tensor) -> Tensor:
        """Mel (N, 1, 80, M) to (N, 64, M - 8): the window that starts at mel frame s has the features [s, s + 8)."""
        moments: Tensor = self.layers(mel / MAX_ABS).squeeze(2)
        return moments


class AudioBranch(nn.Module):
    """From what a frame is conditioned on, (N, 32, 16, 16), to its mouth (N, 6) in [0, 1]; float32."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(FEATURE_WIDTH, BRANCH_WIDTH, 1), nn.ReLU()]
        for kernel in BRANCH_KERNELS:
            layers += [nn.Dropout(DROPOUT), nn.Conv1d(BRANCH_WIDTH, BRANCH_WIDTH, kernel), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(BRANCH_WIDTH, len(ARTICULATORS), 1), nn.Sigmoid())

    def forward(self, conditioning: Tensor) -> Tensor:
        features = conditioning.reshape(-1, HEARD_FEATURES, FEATURE_WIDTH).transpose(1, 2)
        return self.track(features).squeeze(2)

    def track(self, features: Tensor) -> Tensor:
        """Features (N, 512, n) to the mouths (N, 6, n - 15) of the frames that hear 16 of them each."""
        track: Tensor = self.layers(features)
        return track


class Hearing(nn.Module):
    """Both, as they are trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AudioEncoder()
        self.branch = AudioBranch()

    def forward(self, mel: Tensor, starts: Tensor, heard: Tensor) -> Tensor:
        """Mouths of consecutive frames.

        Args:
            mel: float32 (N, 80, M), values in [-4, 4].
            starts: int64 (N, n), first mel frame of each feature's window, within this `mel`.
            heard: float32 (N, n), 1 where there is such a feature, 0 where the contract has zeros.

        Returns:
            float32 (N, n - 15, 6), values in [0, 1].
        """
        moments = self.encoder.moments(mel[:, None])
        places = starts[:, None] + torch.arange(ENCODER_MOMENTS)[:, None]  # (N, 8, n)
        rows = moments.gather(2, places.flatten(1)[:, None].expand(-1, MOMENT_WIDTH, -1))
        features = rows.reshape(len(mel), FEATURE_WIDTH, -1)  # each of 64 values for its 8 moments, as `forward` has it
        return self.branch.track(features * heard[:, None]).transpose(1, 2)
