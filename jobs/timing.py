"""The clockwork of the render contract: samples, mel frames, audio features and output frames. Pure.

Terms: `L` samples at 16 kHz give `M` mel frames, `D` audio features and the output frames of a video at 25 fps.
All index arithmetic of the product is here, so that the planner, the renderer and the assembler cannot disagree.
"""

from typing import Literal, NamedTuple

SAMPLE_RATE_HZ = 16_000
FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FPS  # 640
HOP_SAMPLES = 200
WINDOW_SAMPLES = 800
MEL_BANDS = 80
MEL_WINDOW_FRAMES = 16  # mel frames heard by one audio feature
FEATURE_WIDTH = 512
FEATURES_BEFORE = 8  # frame i is conditioned on P[i-8 : i+8]
FEATURES_AFTER = 8
MIN_SAMPLES = (MEL_WINDOW_FRAMES - 1) * HOP_SAMPLES  # 3 000 samples, 0.1875 s: the shortest audio with one mel window

LengthMode = Literal["exact", "reference"]


class Span(NamedTuple):
    """A half-open range `[start, stop)` of samples, mel frames, features or output frames."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start


def mel_frame_count(samples: int) -> int:
    """Mel frames of a centred STFT over `samples` samples."""
    return 1 + samples // HOP_SAMPLES


def feature_count(samples: int) -> int:
    """Audio features `D`, computed in floats in the reference's own order (integer division differs at some M)."""
    return int((mel_frame_count(samples) - MEL_WINDOW_FRAMES) / 80.0 * 25.0) + 2


def frame_count(samples: int, length: LengthMode) -> int:
    """Output frames of a video for `samples` samples of 16 kHz audio.

    Args:
        samples: at least `MIN_SAMPLES`.
        length: `reference` is the count of the reference pipeline; `exact` covers the audio to its end.
    """
    if samples < MIN_SAMPLES:
        raise ValueError(f"{samples} samples are fewer than one mel window needs ({MIN_SAMPLES})")
    return feature_count(samples) + 2 if length == "reference" else -(-samples // SAMPLES_PER_FRAME)


def padded_feature_index(position: int, features: int) -> int:
    """Which feature stands at `position` of `P = [F0, F0 … F(D-1), F(D-1) …]`, the last one repeated for ever."""
    return min(max(position - 1, 0), features - 1)


def conditioning_features(frames: Span, frame_total: int, features: int) -> Span:
    """The features that the frames of a chunk hear, positions outside `[0, frame_total)` being zeros."""
    first = max(frames.start - FEATURES_BEFORE, 0)
    last = min(frames.stop - 1 + FEATURES_AFTER - 1, frame_total - 1)
    return Span(padded_feature_index(first, features), padded_feature_index(last, features) + 1)


def mel_window_start(feature: int, mel_frames: int) -> int:
    """First mel frame of the 16 that `feature` hears."""
    return min(MEL_WINDOW_FRAMES * feature // 5, mel_frames - MEL_WINDOW_FRAMES)


def mel_span(features: Span, mel_frames: int) -> Span:
    """Mel frames heard by a range of features."""
    return Span(
        mel_window_start(features.start, mel_frames),
        mel_window_start(features.stop - 1, mel_frames) + MEL_WINDOW_FRAMES,
    )


def sample_span(mel: Span, samples: int) -> Span:
    """Samples under a range of mel frames, one earlier sample for the pre-emphasis included, cut to the audio."""
    half = WINDOW_SAMPLES // 2
    return Span(
        max(mel.start * HOP_SAMPLES - half - 1, 0),
        min((mel.stop - 1) * HOP_SAMPLES + half, samples),
    )


class Hearing(NamedTuple):
    """What a chunk hears, halo included."""

    features: Span
    mel: Span
    samples: Span


def hearing(frames: Span, frame_total: int, samples: int) -> Hearing:
    """The features, mel frames and samples under a range of output frames.

    Args:
        frames: half-open range of output frames.
        frame_total: output frames of the whole job.
        samples: samples of the whole job.
    """
    mel_frames = mel_frame_count(samples)
    features = conditioning_features(frames, frame_total, feature_count(samples))
    mel = mel_span(features, mel_frames)
    return Hearing(features, mel, sample_span(mel, samples))
