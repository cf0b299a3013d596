"""From mel frames to mel windows, and from audio features to what one output frame is conditioned on."""

import numpy as np
import numpy.typing as npt

from jobs.timing import (
    FEATURE_WIDTH,
    FEATURES_AFTER,
    FEATURES_BEFORE,
    MEL_WINDOW_FRAMES,
    Span,
    mel_window_start,
    padded_feature_index,
)

Float32 = npt.NDArray[np.float32]


def mel_windows(mel: Float32, held: Span, mel_frames: int, features: Span) -> Float32:
    """What the audio encoder is shown for each of `features`.

    Args:
        mel: float32 (80, held.size), the mel frames at hand.
        held: which mel frames those are.
        mel_frames: mel frames of the whole audio.
        features: half-open range of features; `held` must cover `timing.mel_span(features, mel_frames)`.

    Returns:
        float32 (features.size, 1, 80, 16).
    """
    starts = [mel_window_start(feature, mel_frames) - held.start for feature in range(*features)]
    return np.stack([mel[None, :, start : start + MEL_WINDOW_FRAMES] for start in starts])


def conditioning(embedded: Float32, held: Span, features: int, frame_total: int, frames: Span) -> Float32:
    """Audio features as the generator takes them, for each of `frames`.

    Frame i is conditioned on `P[i-8 : i+8]`, zeros outside `P`, where `P` is the first feature once more, all
    features, and the last one repeated up to the job's number of frames.

    Args:
        embedded: float32 (held.size, 512), the features at hand.
        held: which features those are; must cover `timing.conditioning_features(frames, frame_total, features)`.
        features: features of the whole audio.
        frame_total: output frames of the whole job, the length of `P`.
        frames: half-open range of output frames.

    Returns:
        float32 (frames.size, 32, 16, 16).
    """
    positions = range(frames.start - FEATURES_BEFORE, frames.stop - 1 + FEATURES_AFTER)
    row = np.zeros((len(positions), FEATURE_WIDTH), np.float32)
    for index, position in enumerate(positions):
        if 0 <= position < frame_total:
            row[index] = embedded[padded_feature_index(position, features) - held.start]
    heard = FEATURES_BEFORE + FEATURES_AFTER
    return np.stack([row[index : index + heard].reshape(32, 16, 16) for index in range(frames.size)])
