"""A chunk hears what the whole file hears: the same bits, from no more audio than it asks for."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from infra.settings import Settings
from jobs.timing import LengthMode, Span, feature_count, frame_count, mel_frame_count, sample_span
from tests.unit import naive
from workers.avatar.demo import demo_pack
from workers.lip_model import LipModel, load_lip_model
from workers.pipeline import Part, hear
from workers.render.mel import mel_spectrogram
from workers.stopwatch import Stopwatch

LENGTHS = st.integers(3000, 3400) | st.integers(3000, 40_000)
MODES: list[LengthMode] = ["exact", "reference"]
Models = Callable[[str, int, int], LipModel]


@pytest.fixture(scope="module")
def models(networks: tuple[Path, Path], settings: Settings) -> Models:
    """Loaded networks by kind (`small`, or `demo` for the trained ones that ship), batch and threads."""
    demo = demo_pack()
    files = {"small": networks, "demo": (demo.generator, demo.audio_encoder)}

    @cache
    def load(kind: str, batch: int, threads: int) -> LipModel:
        return load_lip_model(*files[kind], settings.model_copy(update={"batch": batch, "threads": threads}))

    return load


def reader(audio: naive.Float32, asked: list[Span]) -> Callable[[Span], naive.Float32]:
    def read(span: Span) -> naive.Float32:
        assert 0 <= span.start < span.stop <= len(audio)
        asked.append(span)
        return audio[span.start : span.stop].copy()

    return read


def heard(
    model: LipModel, audio: naive.Float32, total: int, frames: Span, *, batch: int = 7, asked: list[Span] | None = None
) -> naive.Float32:
    """What frames of a job hear, from the batches in which it comes."""
    part = Part(reader(audio, [] if asked is None else asked), len(audio), total, frames)
    spans, conditions = zip(*hear(model, part, batch, Stopwatch()), strict=True)
    borders = [*range(frames.start, frames.stop, batch), frames.stop]
    assert list(spans) == [Span(*pair) for pair in pairwise(borders)]
    return np.concatenate(conditions)


@given(samples=LENGTHS, seed=st.integers(0, 1000), data=st.data())
def test_mel_of_a_range_equals_that_slice_of_the_whole(samples: int, seed: int, data: st.DataObject) -> None:
    audio, frames = naive.speech(samples, seed), mel_frame_count(samples)
    start = data.draw(st.integers(0, frames - 1))
    mel = Span(start, data.draw(st.integers(start + 1, frames)))
    held = sample_span(mel, samples)
    # More than is needed may be at hand, too.
    wider = Span(max(held.start - data.draw(st.integers(0, 2000)), 0), min(held.stop + 777, samples))
    whole = mel_spectrogram(audio, Span(0, samples), samples, Span(0, frames))
    for at_hand in (held, wider):
        part = mel_spectrogram(audio[at_hand.start : at_hand.stop], at_hand, samples, mel)
        assert np.array_equal(part, whole[:, mel.start : mel.stop])


def test_mel_of_single_frames_of_a_long_file_equals_the_whole() -> None:
    samples = 50 * 16_000
    audio, frames = naive.speech(samples), mel_frame_count(samples)
    whole = mel_spectrogram(audio, Span(0, samples), samples, Span(0, frames))
    for frame in [*range(0, frames, 61), 63, 64, 65, frames - 1]:
        held = sample_span(Span(frame, frame + 1), samples)
        part = mel_spectrogram(audio[held.start : held.stop], held, samples, Span(frame, frame + 1))
        assert np.array_equal(part[:, 0], whole[:, frame]), frame


@pytest.mark.parametrize(
    ("kind", "batch", "threads"), [("small", 1, 1), ("small", 3, 2), ("demo", 1, 1), ("demo", 8, 2)]
)
@given(
    samples=LENGTHS,
    length=st.sampled_from(MODES),
    cuts=st.sets(st.integers(1, 70)),
    seed=st.integers(0, 9),
    at_once=st.integers(1, 70),
)
@example(samples=3000, length="reference", cuts={1, 2, 3}, seed=0, at_once=1)
@example(samples=40_000, length="exact", cuts=set(range(1, 63)), seed=1, at_once=3)
@profile(max_examples=30)
def test_what_a_chunk_hears_equals_the_whole(
    models: Models,
    kind: str,
    batch: int,
    threads: int,
    samples: int,
    length: LengthMode,
    cuts: set[int],
    seed: int,
    at_once: int,
) -> None:
    model, audio, total = models(kind, batch, threads), naive.speech(samples, seed), frame_count(samples, length)
    asked: list[Span] = []
    whole = heard(model, audio, total, Span(0, total), batch=total, asked=asked)
    assert whole.shape == (total, 32, 16, 16)
    assert whole.dtype == np.float32

    borders = [0, *sorted(cut for cut in cuts if cut < total), total]
    parts = [heard(model, audio, total, Span(*pair), batch=at_once, asked=asked) for pair in pairwise(borders)]

    assert np.array_equal(np.concatenate(parts), whole)
    assert len(asked) == len(borders), "the audio is asked for once"


class Counting:
    """An audio encoder that counts the windows that it is given."""

    def __init__(self, model: LipModel):
        self.model, self.windows = model, 0

    def encode(self, windows: naive.Float32, stopwatch: Stopwatch) -> naive.Float32:
        self.windows += len(windows)
        return self.model.encode(windows, stopwatch)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_features_are_made_once_and_only_as_frames_need_them(models: Models, batch: int) -> None:
    counting, audio = Counting(models("small", 1, 1)), naive.speech(40_000)
    heard_ahead = hear(counting, Part(reader(audio, []), 40_000, 63, Span(0, 63)), batch, Stopwatch())
    next(heard_ahead)
    # Frame 0 hears P[0] to P[7], of which the first two are the same feature.
    assert counting.windows == min(batch + 6, feature_count(40_000))
    assert len(list(heard_ahead)) == -(-63 // batch) - 1
    assert counting.windows == feature_count(40_000)


@pytest.mark.parametrize("kind", ["small", "demo"])
def test_batch_and_threads_do_not_change_what_is_heard(models: Models, kind: str) -> None:
    audio = naive.speech(40_000)
    answers = [
        heard(models(kind, batch, threads), audio, 63, Span(0, 63))
        for batch, threads in [(1, 1), (1, 2), (3, 1), (3, 2), (8, 1)]
    ]
    assert all(np.array_equal(one, answers[0]) for one in answers[1:])


def test_other_audio_is_heard_only_within_the_halo(models: Models) -> None:
    samples, total, changed = 64_000, 100, 32_000
    audio, model = naive.speech(samples), models("small", 1, 1)
    other = audio.copy()
    other[changed] += 0.5
    first, second = (heard(model, one, total, Span(0, total)) for one in (audio, other))
    differing = [frame for frame in range(total) if not np.array_equal(first[frame], second[frame])]
    assert differing
    assert 50 - 12 <= min(differing) <= max(differing) <= 50 + 10


@pytest.mark.parametrize("kind", ["small", "demo"])
def test_what_is_heard_equals_a_naive_restatement_of_the_whole_file(models: Models, kind: str) -> None:
    samples = 20_123
    audio, total, model = naive.speech(samples), frame_count(samples, "exact"), models(kind, 1, 1)
    mel = naive.mel(audio).astype(np.float32)
    embedded = [
        model.audio_encoder.session.run(None, {model.audio_encoder.inputs[0]: mel[None, None, :, start : start + 16]})[
            0
        ][0]
        for start in naive.window_starts(samples)
    ]
    zeros = np.zeros(512, np.float32)
    expected = np.array(
        [
            np.array([zeros if feature is None else embedded[feature] for feature in row]).reshape(32, 16, 16)
            for row in naive.heard_by_frames(samples, total)
        ]
    )
    found = heard(model, audio, total, Span(0, total))
    # The mel spectrograms differ in the last bit of a float32 here and there, and the networks pass that on.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
