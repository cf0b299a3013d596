"""Counts and spans of the clockwork against a naive restatement of the contract."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import timing
from jobs.timing import Span, frame_count
from tests.unit import naive

MINUTE = 60 * 16_000
HOUR = 60 * MINUTE

ROUND_LENGTHS = [
    base + offset for base in (MINUTE, 10 * MINUTE, HOUR, 3 * HOUR) for offset in (-640, -201, -200, -1, 0, 1, 199, 641)
]


@pytest.mark.parametrize("lengths", [range(3000, 20_000), ROUND_LENGTHS], ids=["dense", "minutes and hours"])
def test_counts_follow_the_contract_at_every_length(lengths: list[int]) -> None:
    for samples in lengths:
        mel_frames, features = naive.counts(samples)
        assert timing.mel_frame_count(samples) == mel_frames
        assert timing.feature_count(samples) == features
        assert frame_count(samples, "reference") == features + 2
        assert frame_count(samples, "exact") == naive.exact_frames(samples)


def test_features_are_counted_in_floats_where_whole_numbers_would_differ() -> None:
    mel_frames = np.arange(16, 4 * HOUR // 200)
    expected = np.trunc((mel_frames - 16) / 80.0 * 25.0).astype(int) + 2
    whole_numbers = (mel_frames - 16) * 5 // 16 + 2
    differing = np.flatnonzero(expected != whole_numbers)
    assert differing.size, "the contract warns of such lengths"
    for index in differing[:: max(differing.size // 200, 1)]:
        assert timing.feature_count(int(mel_frames[index] - 1) * 200) == expected[index]


@pytest.mark.parametrize(
    ("samples", "reference", "exact"),
    [(3000, 4, 5), (3200, 4, 5), (3201, 4, 6), (16_000, 24, 25), (MINUTE, 1499, 1500), (HOUR, 89_999, 90_000)],
)
def test_lengths_worked_out_by_hand(samples: int, reference: int, exact: int) -> None:
    assert frame_count(samples, "reference") == reference
    assert frame_count(samples, "exact") == exact


@given(samples=st.integers(3000, 12 * HOUR))
def test_the_exact_length_covers_the_audio_and_exceeds_the_reference_by_one_or_two(samples: int) -> None:
    exact = frame_count(samples, "exact")
    assert exact * 640 >= samples > (exact - 1) * 640
    assert 1 <= exact - frame_count(samples, "reference") <= 2


@pytest.mark.parametrize("samples", [0, 1, 2999])
@pytest.mark.parametrize("length", ["exact", "reference"])
def test_less_than_one_mel_window_has_no_frames(samples: int, length: timing.LengthMode) -> None:
    with pytest.raises(ValueError, match="3000"):
        frame_count(samples, length)


def test_the_shortest_audio_is_the_shortest_with_sixteen_mel_frames() -> None:
    assert next(samples for samples in range(10_000) if naive.counts(samples)[0] >= 16) == timing.MIN_SAMPLES


@st.composite
def chunks(draw: st.DrawFn) -> tuple[int, int, Span]:
    """Samples, output frames of the job, and a range of them."""
    samples = draw(st.integers(3000, 60_000) | st.integers(3000, 3400))
    total = frame_count(samples, draw(st.sampled_from(["exact", "reference"])))
    start = draw(st.integers(0, total - 1))
    return samples, total, Span(start, draw(st.integers(start + 1, total)))


@given(chunks())
def test_a_chunk_asks_for_exactly_the_features_mel_frames_and_samples_that_it_hears(
    chunk: tuple[int, int, Span],
) -> None:
    samples, total, frames = chunk
    mel_frames, features = naive.counts(samples)
    heard = naive.heard_by_frames(samples, total)[frames.start : frames.stop]
    needed_features = {feature for row in heard for feature in row if feature is not None}
    starts = naive.window_starts(samples)
    needed_mel = {starts[feature] + offset for feature in needed_features for offset in range(16)}
    needed_samples = {
        sample
        for centre in (200 * frame for frame in (min(needed_mel), max(needed_mel)))
        for sample in range(centre - 401, centre + 400)  # one more than the window, for the pre-emphasis
        if 0 <= sample < samples
    }

    found_features = timing.conditioning_features(frames, total, features)
    assert set(range(*found_features)) == needed_features
    found_mel = timing.mel_span(found_features, mel_frames)
    assert set(range(*found_mel)) == needed_mel
    found_samples = timing.sample_span(found_mel, samples)
    assert found_samples == Span(min(needed_samples), max(needed_samples) + 1)
    assert timing.hearing(frames, total, samples).samples == found_samples


@given(samples=st.integers(3000, HOUR), data=st.data())
def test_every_feature_hears_sixteen_mel_frames_of_the_file(samples: int, data: st.DataObject) -> None:
    mel_frames, features = naive.counts(samples)
    feature = data.draw(st.integers(0, features - 1))
    start = timing.mel_window_start(feature, mel_frames)
    assert 0 <= start <= mel_frames - 16
    assert start == min(16 * feature // 5, mel_frames - 16)


def test_a_frame_hears_from_395_ms_before_to_453_ms_after_its_own_time() -> None:
    samples, frames = 60 * 16_000, range(100, 1400)
    spans = [timing.hearing(Span(frame, frame + 1), 1500, samples).samples for frame in frames]
    before_ms = min((span.start - 640 * frame) / 16 for frame, span in zip(frames, spans, strict=True))
    after_ms = max((span.stop - 640 * frame) / 16 for frame, span in zip(frames, spans, strict=True))
    assert before_ms == pytest.approx(-395, abs=1)
    assert after_ms == pytest.approx(453, abs=1)
    assert before_ms > -500, "the halo of half a second is enough"
    assert after_ms < 500 + 40


def test_a_span_counts_what_it_holds() -> None:
    assert Span(3, 3).size == 0
    assert Span(3, 10).size == len(range(*Span(3, 10))) == 7
