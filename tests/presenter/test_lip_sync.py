"""Correlation and lag of two tracks, on tracks whose lag is known."""

import numpy as np
import pytest

from workers.presenter.lip_sync import CONTROL_FRAMES, LONGEST_LAG_FRAMES, compare, correlation_by_lag

TRUTH = np.convolve(np.random.default_rng(7).normal(size=300), np.hanning(5), "same")


@pytest.mark.parametrize("late_frames", [-12, -5, -1, 0, 1, 3, 12])
def test_a_mouth_that_comes_late_has_a_positive_lag(late_frames: int) -> None:
    assert compare(np.roll(TRUTH, late_frames), TRUTH).lag_frames == late_frames


def test_the_truth_follows_itself_perfectly_in_any_unit() -> None:
    found = compare(40.0 * TRUTH + 3.0, TRUTH)
    assert found.correlation == pytest.approx(1.0)
    assert found.slope == pytest.approx(40.0)
    assert found.lag_frames == 0


def test_the_controls_are_the_correlations_a_fifth_of_a_second_off() -> None:
    found, by_lag = compare(TRUTH, TRUTH), correlation_by_lag(TRUTH, TRUTH)
    assert (found.early, found.late) == (by_lag[-CONTROL_FRAMES], by_lag[CONTROL_FRAMES])
    assert max(abs(found.early), abs(found.late)) < 0.3
    assert list(by_lag) == list(range(-LONGEST_LAG_FRAMES, LONGEST_LAG_FRAMES + 1))


def test_a_lazy_mouth_correlates_but_its_slope_tells() -> None:
    found = compare(0.4 * TRUTH, TRUTH)
    assert found.correlation == pytest.approx(1.0)
    assert found.slope == pytest.approx(0.4)


def test_a_mouth_that_does_not_move_correlates_with_nothing() -> None:
    assert set(correlation_by_lag(np.full(300, 0.2), TRUTH).values()) == {0.0}


@pytest.mark.parametrize("frames", [24, 299])
def test_tracks_that_are_too_short_or_differ_in_length_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        compare(TRUTH[:frames], TRUTH[: min(frames, 24)])
