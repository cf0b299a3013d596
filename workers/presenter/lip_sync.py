"""How well a mouth follows its speech: correlation of two tracks, one value per output frame, and their lag."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LONGEST_LAG_FRAMES = 12  # 0.48 s to both sides: more than any viewer would forgive
CONTROL_FRAMES = 5  # 0.2 s, about a syllable: a mouth that far off must not look right

Float64 = npt.NDArray[np.float64]


class LipSync(NamedTuple):
    """What the comparison of a mouth with the truth found.

    Attributes:
        correlation: Pearson's, frame against frame.
        lag_frames: the shift at which the two correlate best; positive when the mouth comes late.
        early: correlation with the mouth taken `CONTROL_FRAMES` too early.
        late: the same, too late.
        slope: of the mouth on the truth: 1 keeps the truth's amplitude, below 1 is a lazy mouth.
    """

    correlation: float
    lag_frames: int
    early: float
    late: float
    slope: float


def compare(mouth: npt.ArrayLike, truth: npt.ArrayLike) -> LipSync:
    """Compare a mouth with the truth.

    Args:
        mouth: (frames,), in any unit: articulator or pixels.
        truth: (frames,), likewise; more frames than twice the longest lag, and not constant.
    """
    by_lag = correlation_by_lag(mouth, truth)
    seen, true = np.asarray(mouth, np.float64), np.asarray(truth, np.float64)
    return LipSync(
        correlation=by_lag[0],
        lag_frames=max(by_lag, key=by_lag.__getitem__),
        early=by_lag[-CONTROL_FRAMES],
        late=by_lag[CONTROL_FRAMES],
        slope=float(np.cov(seen, true)[0, 1] / true.var(ddof=1)),
    )


def correlation_by_lag(mouth: npt.ArrayLike, truth: npt.ArrayLike) -> dict[int, float]:
    """Pearson's correlation of `mouth[i + lag]` with `truth[i]` over the frames that both have, for each lag.

    A track that does not move correlates with nothing: 0.
    """
    seen, true = np.asarray(mouth, np.float64), np.asarray(truth, np.float64)
    if seen.shape != true.shape or seen.ndim != 1 or len(seen) <= 2 * LONGEST_LAG_FRAMES:
        raise ValueError(f"cannot compare tracks of {seen.shape} and {true.shape} frames")
    lags = range(-LONGEST_LAG_FRAMES, LONGEST_LAG_FRAMES + 1)
    return {lag: _correlation(*_overlap(seen, true, lag)) for lag in lags}


def _overlap(seen: Float64, true: Float64, lag: int) -> tuple[Float64, Float64]:
    frames = len(seen) - abs(lag)
    return seen[max(lag, 0) :][:frames], true[max(-lag, 0) :][:frames]


def _correlation(left: Float64, right: Float64) -> float:
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
