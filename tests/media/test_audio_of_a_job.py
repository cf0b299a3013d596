"""Mono samples and the encoded track of a job: exact, in place, and independent of how the source is cut up."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr

from infra.errors import Failed
from infra.media_audio import encode_m4a, mono_blocks
from infra.media_decode import open_audio
from infra.media_facts import describe
from infra.media_source import AudioSource, Block
from tests.media_files import chirp, clicks, decoded, delay_s, write_audio


class _Cut(AudioSource):
    """A source made of samples, in blocks of one size."""

    def __init__(self, samples: Block, sample_rate: int, block: int) -> None:
        super().__init__(Path("memory"), sample_rate, samples.shape[1], allow_truncated=False)
        self.declared_s = None
        self._samples, self._block = samples, block

    def close(self) -> None:
        pass

    def _decode(self) -> Iterator[Block]:
        for start in range(0, len(self._samples), self._block):
            yield self._samples[start : start + self._block]


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1), (8_000, 2), (16_000, 2), (11_025, 1)])
def test_mono_is_the_mean_of_the_channels_resampled_whatever_the_blocks(rate_hz: int, channels: int) -> None:
    samples = chirp(3.1, rate_hz, channels)
    expected = soxr.resample(samples.mean(axis=1), rate_hz, 16_000, "HQ")
    whole = np.concatenate(list(mono_blocks(_Cut(samples, rate_hz, len(samples)), 16_000)))
    assert whole.dtype == np.float32
    assert whole.ndim == 1
    assert len(whole) == len(expected)
    # One-shot resampling sums in another order; 2^-20 is a sixteenth of a 16-bit step.
    np.testing.assert_allclose(whole, expected, atol=2**-20)
    for block in (97, 1024, 4096, 30_011):
        cut = np.concatenate(list(mono_blocks(_Cut(samples, rate_hz, block), 16_000)))
        np.testing.assert_array_equal(cut, whole)


def test_equal_rates_pass_samples_through_untouched(tmp_path: Path) -> None:
    samples = chirp(1.0, 16_000)
    with open_audio(write_audio(tmp_path / "a.wav", samples, 16_000, "FLOAT")) as source:
        np.testing.assert_array_equal(np.concatenate(list(mono_blocks(source, 16_000))), samples[:, 0])


@pytest.mark.parametrize(
    ("rate_hz", "channels", "encoded_hz", "encoded_channels"),
    [
        (44_100, 2, 44_100, 2),
        (48_000, 1, 48_000, 1),
        (16_000, 1, 16_000, 1),
        (8_000, 1, 8_000, 1),
        (37_800, 2, 44_100, 2),
        (192_000, 1, 96_000, 1),
        (4_000, 1, 7_350, 1),
        (48_000, 6, 48_000, 1),
    ],
)
def test_the_encoded_track_has_the_sources_length_and_place(
    tmp_path: Path, rate_hz: int, channels: int, encoded_hz: int, encoded_channels: int
) -> None:
    samples = clicks(3.3, rate_hz, channels)
    wav = write_audio(tmp_path / "a.wav", samples, rate_hz, "FLOAT")
    with open_audio(wav) as source:
        length_s = encode_m4a(source, tmp_path / "a.m4a")
    audio = describe(tmp_path / "a.m4a")["audio"]
    assert (audio["codec"], audio["sample_rate"], audio["channels"]) == ("aac", encoded_hz, encoded_channels)
    assert length_s == pytest.approx(3.3, abs=1 / encoded_hz)
    assert audio["duration_s"] == pytest.approx(length_s, abs=1e-9)
    got, _ = decoded(tmp_path / "a.m4a")
    reference = soxr.resample(samples.mean(axis=1), rate_hz, encoded_hz)
    assert abs(delay_s(reference, got.mean(axis=1), encoded_hz)) <= 1 / encoded_hz


def test_a_full_disk_is_a_failure_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "a.m4a"
    out.symlink_to("/dev/full")
    wav = write_audio(tmp_path / "a.wav", chirp(1.0, 16_000), 16_000)
    with open_audio(wav) as source, pytest.raises(Failed, match="No space left on device"):
        encode_m4a(source, out)
    assert not out.is_symlink()
