"""What cannot be trusted is refused with one sentence that names the file, and how much of it was good."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infra.errors import NotFound, Rejected
from infra.media_decode import open_audio
from tests.media_files import (
    CODECS,
    Samples,
    chirp,
    copy_cut,
    copy_with_noise,
    decoded,
    flac_total,
    wav_field,
    write_audio,
    write_video,
)


def refusal(path: Path) -> str:
    """The sentence with which a file is refused, at once or while it is decoded; checked to be one."""
    with pytest.raises(Rejected) as caught, open_audio(path) as source:
        for _ in source.blocks():
            pass
    sentence = str(caught.value)
    assert str(path) in sentence
    assert re.search(r"[^.]\.$", sentence)
    assert "\n" not in sentence
    return sentence


def empty_file(directory: Path) -> Path:
    (directory / "empty.wav").touch()
    return directory / "empty.wav"


def folder(directory: Path) -> Path:
    (directory / "folder.wav").mkdir()
    return directory / "folder.wav"


def pipe(directory: Path) -> Path:
    os.mkfifo(directory / "pipe.wav")
    return directory / "pipe.wav"


def text(directory: Path) -> Path:
    (directory / "text.mp3").write_text("It was a dark and stormy night.\n" * 50)
    return directory / "text.mp3"


def playlist(directory: Path) -> Path:
    inner = write_audio(directory / "inner.aac", chirp(1, 8_000), 8_000)
    (directory / "list.mp3").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{inner}\n#EXT-X-ENDLIST\n")
    return directory / "list.mp3"


def concatenation(directory: Path) -> Path:
    write_audio(directory / "inner.wav", chirp(1, 8_000), 8_000)
    (directory / "list.wav").write_text("ffconcat version 1.0\nfile inner.wav\n")
    return directory / "list.wav"


def wav_header_alone(directory: Path) -> Path:
    return write_audio(directory / "none.wav", np.zeros((0, 1), np.float32), 16_000)


def wav_without_audio_chunk(directory: Path) -> Path:
    return copy_cut(wav_header_alone(directory), directory / "head.wav", keep=0.7)


def silent_video(directory: Path) -> Path:
    return write_video(directory / "silent.mp4", 10)


def mp4_without_index(directory: Path) -> Path:
    whole = write_video(directory / "whole.mp4", 50, chirp(2, 48_000))
    return copy_cut(whole, directory / "no_moov.mp4", keep=0.6)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (empty_file, "is empty"),
        (folder, "is not a file"),
        (pipe, "is not a file"),
        (text, "cannot be opened as audio or video"),
        (playlist, "cannot be opened as audio or video"),
        (concatenation, "cannot be opened as audio or video"),
        (wav_header_alone, "contains no audio"),
        (wav_without_audio_chunk, "cannot be opened|contains no audio"),
        (silent_video, "has no audio track"),
        (mp4_without_index, "its header is missing"),
    ],
)
def test_files_without_usable_audio_are_refused(tmp_path: Path, build: Callable[[Path], Path], says: str) -> None:
    assert re.search(says, refusal(build(tmp_path)))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nothing\.wav does not exist\."):
        open_audio(tmp_path / "nothing.wav")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    file = write_audio(tmp_path / "secret.wav", chirp(0.1, 8_000), 8_000)
    file.chmod(0)
    tmp_path.chmod(0)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65_534)
    try:
        assert "check its permissions" in refusal(file)
    finally:
        if privileged:
            os.seteuid(0)
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("extension", [".wav", ".caf"])
def test_samples_that_are_no_numbers_are_refused_with_their_place(tmp_path: Path, value: float, extension: str) -> None:
    samples = chirp(2.0, 16_000, 2)
    samples[20_000, 1] = value
    path = tmp_path / f"bad{extension}"
    if extension == ".wav":
        write_audio(path, samples, 16_000, "FLOAT")
    else:  # float samples behind a Core Audio header, which PyAV reads
        described = struct.pack(">d4sIIIII", 16_000.0, b"lpcm", 3, 8, 1, 2, 32)
        body = struct.pack("<I", 0) + samples.astype("<f4").tobytes()
        path.write_bytes(
            struct.pack(">4sHH4sq", b"caff", 1, 0, b"desc", 32)
            + described
            + struct.pack(">4sq", b"data", len(body))
            + body
        )
    assert "at 1.250 s" in refusal(path)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("channels", 1, "contradicts itself"),
        ("rate", 44_100, "contradicts itself"),
        ("byte_rate", 1, "contradicts itself"),
        ("block", 8, "contradicts itself"),
        ("bits", 24, "contradicts itself"),
        ("channels", 0, "0 audio channels"),
        ("channels", 65, "65 audio channels"),
        ("rate", 0, "rate of 0 Hz"),
        ("rate", 3_999, "rate of 3999 Hz"),
        ("rate", 768_001, "rate of 768001 Hz"),
    ],
)
def test_a_wav_header_that_lies_is_refused(tmp_path: Path, field: str, value: int, says: str) -> None:
    wav = write_audio(tmp_path / "a.wav", chirp(0.5, 16_000, 2), 16_000)
    assert says in refusal(wav_field(wav, tmp_path / "lies.wav", field, value))


@pytest.mark.parametrize(("rate_hz", "channels"), [(22_050, 1), (48_000, 2)])
def test_a_rate_or_channel_count_that_changes_midway_is_refused(tmp_path: Path, rate_hz: int, channels: int) -> None:
    first = write_audio(tmp_path / "a.aac", chirp(2.0, 48_000), 48_000).read_bytes()
    second = write_audio(tmp_path / "b.aac", chirp(2.0, rate_hz, channels), rate_hz).read_bytes()
    (tmp_path / "both.aac").write_bytes(first + second)
    assert f"has {channels} at {rate_hz} Hz" in refusal(tmp_path / "both.aac")


def noise_of(seconds: int) -> Samples:
    """White noise at 48 kHz, which makes any encoder's bit rate constant."""
    return np.random.default_rng(1).uniform(-0.5, 0.5, (seconds * 48_000, 1)).astype(np.float32)


def cut(directory: Path, extension: str) -> tuple[Path, float]:
    """The first half of a file of three seconds, and about how many seconds it holds."""
    # Sound in mp4 files is found behind an index that comes first; without it nothing could be saved.
    options = {"movflags": "+faststart"} if extension in {".m4a", ".mp4", ".mov"} else {}
    noise = noise_of(3)
    whole = write_audio(directory / f"a{extension}", noise, 48_000, **options)
    return copy_cut(whole, directory / f"cut{extension}", keep=0.5), 1.5


@pytest.mark.parametrize("extension", [".wav", ".flac", ".ogg", *CODECS])
def test_a_truncated_file_is_refused_unless_its_user_says_otherwise(tmp_path: Path, extension: str) -> None:
    path, about_s = cut(tmp_path, extension)
    sentence = refusal(path)
    assert "--allow-truncated" in sentence
    usable_s = float(re.search(r"([0-9.]+) s( of [0-9.]+ s)? can be used", sentence)[1])  # type: ignore[index]
    lost_s = 0.8 if extension == ".ogg" else 0.2  # half a page, which may hold a second of sound; a few packets
    assert about_s - lost_s < usable_s < about_s + 0.1
    with open_audio(path, allow_truncated=True) as source:
        count = sum(map(len, source.blocks()))
        assert source.usable_s == count / source.sample_rate == pytest.approx(usable_s, abs=1e-3)


@pytest.mark.parametrize("extension", [".flac", ".ogg", ".mp3", ".m4a", ".aac"])
def test_damage_in_the_middle_is_refused_and_the_part_before_it_can_be_used(tmp_path: Path, extension: str) -> None:
    whole = write_audio(tmp_path / f"a{extension}", noise_of(9), 48_000)  # OGG pages hold a second or two
    damaged = copy_with_noise(whole, tmp_path / f"damaged{extension}", at=0.5, width=600)
    assert "--allow-truncated" in refusal(damaged)
    got, expected = decoded(damaged, allow_truncated=True)[0], decoded(whole)[0]
    assert 2.5 * 48_000 < len(got) < 4.7 * 48_000
    # The last packet may have been spoilt before the decoder noticed.
    np.testing.assert_allclose(got[:-4096], expected[: len(got) - 4096], atol=1e-3)


@pytest.mark.parametrize("extension", [".wav", ".flac"])
def test_a_header_that_promises_more_than_the_file_has_is_a_truncated_file(tmp_path: Path, extension: str) -> None:
    whole = write_audio(tmp_path / f"a{extension}", chirp(1.0, 16_000), 16_000)
    path = tmp_path / f"more{extension}"
    wav_field(whole, path, "data_size", 64_000) if extension == ".wav" else flac_total(whole, path, 32_000)
    assert "1.000 s of 2.000 s" in refusal(path)


def test_rubbish_behind_a_complete_mp3_harms_nobody(tmp_path: Path) -> None:
    whole = write_audio(tmp_path / "a.mp3", chirp(2.0, 48_000), 48_000)
    (tmp_path / "tagged.mp3").write_bytes(whole.read_bytes() + b"APETAGEX" + bytes(range(256)) * 8)
    got, expected = decoded(tmp_path / "tagged.mp3")[0], decoded(whole)[0]
    np.testing.assert_array_equal(got[: len(expected)], expected)
    assert len(got) - len(expected) < 2 * 1152  # FFmpeg then no longer cuts the padding of the last frames


def test_two_mp3_files_in_one_are_heard_both(tmp_path: Path) -> None:
    whole = write_audio(tmp_path / "a.mp3", chirp(2.0, 48_000), 48_000)
    (tmp_path / "twice.mp3").write_bytes(whole.read_bytes() * 2)
    assert len(decoded(tmp_path / "twice.mp3")[0]) == pytest.approx(4 * 48_000, rel=0.02)
