"""The hearing: what torch computes for a whole clip is what the fleet computes window by window, and it can learn."""

import random

import numpy as np
import pytest

from jobs.timing import Span, feature_count, frame_count, mel_frame_count
from workers.presenter.hearing.data import Clip, Corpus
from workers.presenter.mouth import ARTICULATORS, OPEN
from workers.render.windows import Float32, conditioning, mel_windows

pytestmark = pytest.mark.usefixtures("torch")

SAMPLES = 50_001


def any_mel(samples: int, seed: int = 1) -> Float32:
    """Mel frames of no sound in particular."""
    frames = mel_frame_count(samples)
    return np.random.default_rng(seed).uniform(-4, 4, (80, frames)).astype(np.float32)


def loudness_clip(seed: int) -> Clip:
    """A sound that comes and goes in every band, and a mouth that opens as far as it is loud."""
    mel_frames, frames = mel_frame_count(SAMPLES), frame_count(SAMPLES, "exact")
    knots = np.random.default_rng(seed).uniform(0, 1, 12)
    loudness = np.interp(np.linspace(0, 11, mel_frames), np.arange(12), knots)
    opening = np.interp(np.arange(frames) * 3.2 + 1.6, np.arange(mel_frames), loudness)
    mel = np.tile(-2 + 3 * loudness, (80, 1)).astype(np.float32)
    return Clip(mel, np.tile(opening[:, None], (1, len(ARTICULATORS))).astype(np.float32))


def test_a_clip_as_a_whole_gives_what_the_fleet_gets_window_by_window() -> None:
    import torch

    from workers.presenter.hearing.batches import whole
    from workers.presenter.hearing.networks import Hearing

    torch.manual_seed(3)
    hearing = Hearing().eval()
    mel, mel_frames = any_mel(SAMPLES), mel_frame_count(SAMPLES)
    features, frames = feature_count(SAMPLES), frame_count(SAMPLES, "exact")
    batch = whole(Clip(mel, np.zeros((frames, len(ARTICULATORS)), np.float32)))
    windows = mel_windows(mel, Span(0, mel_frames), mel_frames, Span(0, features))
    with torch.inference_mode():
        embedded = hearing.encoder(torch.from_numpy(windows)).numpy()
        heard = conditioning(embedded, Span(0, features), features, frames, Span(0, frames))
        by_window = hearing.branch(torch.from_numpy(heard)).numpy()
        at_once = hearing(batch.mel, batch.starts, batch.heard)[0].numpy()

    assert embedded.shape == (features, 512)
    assert by_window.shape == (frames, len(ARTICULATORS))
    assert np.allclose(by_window, at_once, atol=1e-6)
    assert by_window.std(axis=0).min() > 0


def test_any_stretch_of_a_clip_gives_the_same_mouths_as_the_whole() -> None:
    import torch

    from workers.presenter.hearing.batches import stretch, whole
    from workers.presenter.hearing.networks import Hearing

    hearing = Hearing().eval()
    frames = frame_count(SAMPLES, "exact")
    clip = Clip(any_mel(SAMPLES), np.zeros((frames, len(ARTICULATORS)), np.float32))
    batch = whole(clip)
    with torch.inference_mode():
        expected = hearing(batch.mel, batch.starts, batch.heard)[0].numpy()
        for first, count in ((0, 20), (31, 20), (frames - 20, 20), (frames - 1, 1)):
            part = stretch(clip, first, count)
            found = hearing(part.mel, part.starts, part.heard)[0].numpy()
            assert np.allclose(found, expected[first : first + count], atol=1e-6)


def test_batches_take_the_mouths_of_the_frames_that_they_hear() -> None:
    from workers.presenter.hearing.batches import draw_batch

    frames = frame_count(SAMPLES, "exact")
    track = np.tile(np.arange(frames, dtype=np.float32)[:, None], (1, len(ARTICULATORS)))
    batch = draw_batch([Clip(any_mel(SAMPLES), track)], 40, 30, random.Random(2))
    firsts = batch.track[:, 0, 0]
    assert (batch.track[:, -1, 0] == firsts + 29).all()
    assert {0, frames - 30} < {int(first) for first in firsts}  # both ends are drawn, and places between
    unheard = (batch.heard == 0).sum(1)
    assert ((unheard == 8) == (firsts == 0)).all()
    assert int(batch.starts.max()) + 16 <= batch.mel.shape[2]


def test_augmentation_leaves_a_spectrogram_within_its_range_and_repeats_for_a_seed() -> None:
    import torch

    from workers.presenter.hearing.augmentation import augmented

    mel = torch.from_numpy(np.stack([any_mel(SAMPLES, seed) for seed in range(4)]))
    first, again, other = (augmented(mel, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == mel.shape
    assert first.abs().max() <= 4.0
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, mel)


def test_training_repeats_for_a_seed() -> None:
    import torch

    from workers.presenter.hearing.training import train_hearing

    corpus = Corpus([loudness_clip(seed) for seed in range(4)], [loudness_clip(99)])
    first, again, other = (train_hearing(corpus, seed, steps=2).state_dict() for seed in (4, 4, 5))
    assert all(torch.allclose(value, again[name], atol=1e-3) for name, value in first.items())
    assert not all(torch.allclose(value, other[name], atol=1e-3) for name, value in first.items())


def test_training_learns_to_open_the_mouth() -> None:
    from workers.presenter.hearing.training import mouth_tracks, train_hearing
    from workers.presenter.lip_sync import compare

    corpus = Corpus([loudness_clip(seed) for seed in range(8)], [loudness_clip(99)])
    (seen,) = mouth_tracks(train_hearing(corpus, seed=4, steps=12), corpus.validation)
    assert compare(seen[:, OPEN], corpus.validation[0].track[:, OPEN]).correlation > 0.5
