"""Mel windows and conditioning against lists that hold the whole file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.timing import LengthMode, Span, conditioning_features, frame_count, mel_span
from tests.unit import naive
from workers.render.windows import conditioning, mel_windows

LENGTHS = [3000, 3001, 3199, 3200, 3399, 3400, 6400, 16_000, 16_001, 40_000]
MODES: list[LengthMode] = ["exact", "reference"]


def numbered_features(count: int) -> naive.Float32:
    """Features whose every value says which feature and which place it is; none of them is zero."""
    return (np.arange(count * 512) + 1).reshape(count, 512).astype(np.float32)


@pytest.mark.parametrize("length", MODES)
@pytest.mark.parametrize("samples", LENGTHS)
def test_conditioning_is_the_padded_list_of_features_with_zeros_around_it(samples: int, length: LengthMode) -> None:
    total, (_, count) = frame_count(samples, length), naive.counts(samples)
    features = numbered_features(count)
    padded = [features[0], *features, features[-1]]
    padded += [features[-1]] * (total - len(padded))
    assert len(padded) == total
    zeros = [np.zeros(512, np.float32)] * 8
    around = zeros + padded + zeros
    expected = np.array([np.array(around[frame : frame + 16]).reshape(32, 16, 16) for frame in range(total)])

    found = conditioning(features, Span(0, count), count, total, Span(0, total))

    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@given(samples=st.integers(3000, 30_000), length=st.sampled_from(MODES), data=st.data())
def test_conditioning_of_a_chunk_needs_only_the_features_that_it_asks_for(
    samples: int, length: LengthMode, data: st.DataObject
) -> None:
    total, (_, count) = frame_count(samples, length), naive.counts(samples)
    start = data.draw(st.integers(0, total - 1))
    frames = Span(start, data.draw(st.integers(start + 1, total)))
    held = conditioning_features(frames, total, count)
    features = numbered_features(count)
    heard = naive.heard_by_frames(samples, total)

    found = conditioning(features[held.start : held.stop], held, count, total, frames)

    assert found.shape == (frames.size, 32, 16, 16)
    for row, frame in zip(found.reshape(-1, 16, 512), range(*frames), strict=True):
        for vector, feature in zip(row, heard[frame], strict=True):
            assert np.array_equal(vector, np.zeros(512) if feature is None else features[feature])


@given(samples=st.integers(3000, 30_000), data=st.data())
def test_mel_windows_are_cut_where_the_contract_says(samples: int, data: st.DataObject) -> None:
    mel_frames, count = naive.counts(samples)
    mel = np.arange(80 * mel_frames, dtype=np.float32).reshape(80, mel_frames)
    start = data.draw(st.integers(0, count - 1))
    features = Span(start, data.draw(st.integers(start + 1, count)))
    held = mel_span(features, mel_frames)

    found = mel_windows(mel[:, held.start : held.stop], held, mel_frames, features)

    starts = naive.window_starts(samples)[features.start : features.stop]
    assert np.array_equal(found, np.array([[mel[:, first : first + 16]] for first in starts]))
    assert found.dtype == np.float32
    assert found.shape == (features.size, 1, 80, 16)


def test_near_the_end_of_an_exact_video_the_last_feature_is_repeated_and_then_come_zeros() -> None:
    samples = 16_000
    total, (_, count) = frame_count(samples, "exact"), naive.counts(samples)
    features = numbered_features(count)
    last = conditioning(features, Span(0, count), count, total, Span(total - 1, total)).reshape(16, 512)
    assert np.array_equal(last[8], features[-1])
    assert not last[9:].any()
