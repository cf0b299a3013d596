"""Every usual format is decoded to the samples that were written, whatever its name says."""

from pathlib import Path

import numpy as np
import pytest

from infra.media_decode import open_audio
from tests.media_files import CODECS, chirp, decoded, delay_s, flac_total, wav_field, write_audio, write_video

LOSSLESS = [(".wav", "PCM_16"), (".wav", "PCM_24"), (".wav", "FLOAT"), (".flac", None), (".mov", None), (".aiff", None)]


@pytest.mark.parametrize(("extension", "subtype"), LOSSLESS)
@pytest.mark.parametrize(("rate_hz", "channels"), [(48_000, 2), (8_000, 1)])
def test_lossless_formats_give_back_what_was_written(
    tmp_path: Path, extension: str, subtype: str | None, rate_hz: int, channels: int
) -> None:
    samples = chirp(1.3, rate_hz, channels)
    got, got_hz = decoded(write_audio(tmp_path / f"a{extension}", samples, rate_hz, subtype))
    assert got_hz == rate_hz
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, samples, atol=1 / 32768)


@pytest.mark.parametrize("extension", [".ogg", *sorted(set(CODECS) - {".mov", ".aiff"})])
def test_lossy_formats_keep_rate_channels_and_shape(tmp_path: Path, extension: str) -> None:
    samples = chirp(2.0, 48_000, 2)
    got, rate_hz = decoded(write_audio(tmp_path / f"a{extension}", samples, 48_000))
    assert (rate_hz, got.shape[1]) == (48_000, 2)
    # Raw .aac has nowhere to say that its first packet of 1024 samples is priming.
    expected_delay_s = 1024 / 48_000 if extension == ".aac" else 0.0
    assert abs(delay_s(samples[:, 0], got[:, 0], rate_hz) - expected_delay_s) < 1 / 10_000
    assert 0 <= len(got) - len(samples) <= 2048 + 1024


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".webm"])
def test_the_audio_track_of_a_video_is_found(tmp_path: Path, extension: str) -> None:
    samples = chirp(2.0, 48_000, 1)
    got, rate_hz = decoded(write_video(tmp_path / f"v{extension}", 75, samples))
    assert abs(delay_s(samples[:, 0], got[:, 0], rate_hz)) < 1 / 10_000


@pytest.mark.parametrize("extension", [".wav", ".flac", ".mp3", ".m4a"])
def test_the_contents_decide_and_not_the_name(tmp_path: Path, extension: str) -> None:
    samples = chirp(1.0, 44_100)
    file = write_audio(tmp_path / f"a{extension}", samples, 44_100)
    renamed = file.rename(tmp_path / "data:speech.TXT")
    got, _ = decoded(renamed)
    assert abs(delay_s(samples[:, 0], got[:, 0], 44_100)) < 1 / 10_000


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.WAV", ".wav"), ("a.tar.mp3x", ".mp3x"), ("a", ""), ("a.to-long", ""), ("a.ä", ""), ("a.longer", "")],
)
def test_only_a_plain_extension_is_handed_on(tmp_path: Path, name: str, extension: str) -> None:
    file = write_audio(tmp_path / "a.wav", chirp(0.1, 8_000), 8_000).rename(tmp_path / name)
    with open_audio(file) as source:
        assert source.extension == extension


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    samples = chirp(1.234, 16_000)
    piped = wav_field(write_audio(tmp_path / "a.wav", samples, 16_000), tmp_path / "piped.wav", "data_size", size)
    with open_audio(piped) as source:
        assert source.declared_s is None
        got = np.concatenate(list(source.blocks()))
    np.testing.assert_allclose(got, samples, atol=1 / 32768)


def test_a_flac_without_a_length_is_read_to_its_end(tmp_path: Path) -> None:
    samples = chirp(1.234, 16_000)
    flac = flac_total(write_audio(tmp_path / "a.flac", samples, 16_000), tmp_path / "piped.flac", 0)
    with open_audio(flac) as source:
        assert source.declared_s is None
        assert sum(map(len, source.blocks())) == len(samples)


def test_a_wav_or_flac_that_claims_less_is_read_as_far_as_it_claims(tmp_path: Path) -> None:
    wav = write_audio(tmp_path / "a.wav", chirp(1.0, 16_000), 16_000)
    flac = write_audio(tmp_path / "a.flac", chirp(1.0, 16_000), 16_000)
    assert len(decoded(wav_field(wav, tmp_path / "less.wav", "data_size", 16_000))[0]) == 8_000
    assert len(decoded(flac_total(flac, tmp_path / "less.flac", 8_000))[0]) == 8_000


def test_chunks_before_and_after_the_audio_of_a_wav_are_not_audio(tmp_path: Path) -> None:
    data = write_audio(tmp_path / "a.wav", chirp(0.5, 16_000), 16_000).read_bytes()
    note = b"LIST" + (5).to_bytes(4, "little") + b"INFOx\0"
    (tmp_path / "noted.wav").write_bytes(data[:36] + note + data[36:] + note)
    np.testing.assert_array_equal(decoded(tmp_path / "noted.wav")[0], decoded(tmp_path / "a.wav")[0])
