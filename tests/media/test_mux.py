"""Joined segments are the same pictures at the same times, with the sound where the source had it."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from infra.errors import Failed
from infra.media_audio import encode_m4a
from infra.media_decode import open_audio
from infra.media_facts import describe
from infra.media_mux import remux
from infra.media_video import VideoFormat, decode_video
from tests.media_files import (
    clicks,
    copy_cut,
    copy_with_noise,
    decoded,
    delay_s,
    segment,
    write_audio,
    write_video,
)

VIDEO = VideoFormat(96, 64)


def segments(directory: Path, *lengths: int) -> list[Path]:
    """Consecutive segments of the given numbers of frames."""
    edges = np.cumsum([0, *lengths]).tolist()
    return [
        segment(directory / f"{number}.mp4", VIDEO, start, stop) for number, (start, stop) in enumerate(pairwise(edges))
    ]


def track(directory: Path, seconds: float, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """An encoded audio track of clicks."""
    wav = write_audio(directory / "source.wav", clicks(seconds, rate_hz, channels), rate_hz, "FLOAT")
    with open_audio(wav) as source:
        encode_m4a(source, directory / "audio.m4a")
    return directory / "audio.m4a"


def pictures(path: Path) -> npt.NDArray[np.uint8]:
    return np.stack(list(decode_video(path, None)))


@pytest.mark.parametrize("lengths", [(7, 7, 7, 7), (1,), (50, 1, 60), (2, 1, 1)])
def test_joined_segments_decode_to_the_same_pictures_in_order(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    parts = segments(tmp_path, *lengths)
    out = tmp_path / "out.mp4"
    remux(parts, None, out, fps=25, frames=sum(lengths))
    np.testing.assert_array_equal(pictures(out), np.concatenate([pictures(part) for part in parts]))


def test_every_packet_of_the_result_has_its_time_by_its_number(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    remux(segments(tmp_path, 7, 7, 7), track(tmp_path, 0.84), out, fps=25, frames=21)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert stream.time_base is not None
        times = [packet.pts * stream.time_base for packet in packets if packet.pts is not None]
        assert times == [Fraction(index, 25) for index in range(21)]
        assert all(packet.pts == packet.dts for packet in packets)
        assert [index for index, packet in enumerate(packets) if packet.is_keyframe] == [0, 7, 14]


def test_the_result_is_described_as_what_it_is(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    remux(segments(tmp_path, 25, 25), track(tmp_path, 1.97, 44_100, 2), out, fps=25, frames=50)
    facts = describe(out)
    video, audio = facts["video"], facts["audio"]
    assert facts["faststart"] is True
    assert (video["codec"], video["width"], video["height"], video["pixel_format"]) == ("h264", 96, 64, "yuv420p")
    assert (video["frames"], video["fps"], video["constant_rate"]) == (50, 25.0, True)
    assert (video["first_s"], video["duration_s"]) == (0.0, 2.0)
    assert (video["colour_matrix"], video["colour_primaries"], video["colour_transfer"]) == ("smpte170m",) * 3
    assert video["colour_range"] == "limited"
    assert (audio["codec"], audio["sample_rate"], audio["channels"]) == ("aac", 44_100, 2)
    assert audio["duration_s"] == pytest.approx(1.97, abs=1e-4)
    assert describe(tmp_path / "0.mp4")["faststart"] is True  # a fragmented file begins with its (empty) index


def test_the_index_names_runs_of_a_second_and_not_every_packet(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    remux(segments(tmp_path, 100, 100), track(tmp_path, 8.0, 48_000), out, fps=25, frames=200)
    data = out.read_bytes()
    places = [data.index(b"stco"), data.rindex(b"stco")]  # version and flags, then the number of runs
    runs = [int.from_bytes(data[at + 8 : at + 12], "big") for at in places]
    assert len(set(places)) == 2 and all(6 <= count <= 10 for count in runs)


def test_players_find_any_place_of_a_joined_video(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    remux(segments(tmp_path, 100, 100), track(tmp_path, 8.0, 48_000), out, fps=25, frames=200)
    whole = pictures(out)
    with av.open(str(out)) as container:
        for second in (5, 1, 7, 0):
            container.seek(second * av.time_base)
            frame = next(frame for frame in container.decode(video=0) if frame.time == second)
            shown = frame.to_ndarray(format="bgr24")
            assert np.abs(shown.astype(int) - whole[25 * second]).mean() < 3  # another conversion, the same picture
            container.seek(second * av.time_base)
            assert abs(float(next(container.decode(audio=0)).time or 0) - second) < 2.1  # from the keyframe on


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1), (16_000, 1), (8_000, 1)])
def test_the_sound_is_in_sync_after_several_segments(tmp_path: Path, rate_hz: int, channels: int) -> None:
    frames = (40, 33, 27, 50)
    seconds = sum(frames) / 25
    out = tmp_path / "out.mp4"
    remux(segments(tmp_path, *frames), track(tmp_path, seconds, rate_hz, channels), out, fps=25, frames=sum(frames))
    source, heard = clicks(seconds, rate_hz, channels)[:, 0], decoded(out)[0][:, 0]
    # AAC and the muxer move nothing: one sample, 1/8000 s at most, is far below the 128 ms of a forgotten priming at
    # 8 kHz (1024 samples) and the 23 ms at 44.1 kHz. The last second alone shows that nothing drifts.
    assert abs(delay_s(source, heard, rate_hz)) <= 1 / rate_hz
    tail = slice(len(source) - rate_hz, len(source))
    assert abs(delay_s(source[tail], heard[tail], rate_hz)) <= 1 / rate_hz
    with av.open(str(out)) as container:
        container.seek(0)
        first = next(container.decode(audio=0))
        assert first.time == 0.0  # and players are told so


def test_segments_are_asked_for_one_at_a_time_and_may_be_deleted_after(tmp_path: Path) -> None:
    held: list[Path] = []

    def fetch() -> Iterator[Path]:
        for number in range(5):
            for old in held:
                old.unlink()
            held[:] = [segment(tmp_path / f"{number}.mp4", VIDEO, 7 * number, 7 * number + 7)]
            yield held[0]

    remux(fetch(), track(tmp_path, 1.4), tmp_path / "out.mp4", fps=25, frames=35)
    assert describe(tmp_path / "out.mp4")["video"]["frames"] == 35


@pytest.mark.parametrize(("seconds", "fits"), [(0.961, True), (1.0, True), (1.04, True), (1.2, False), (0.8, False)])
def test_sound_and_pictures_may_differ_by_one_frame(tmp_path: Path, seconds: float, fits: bool) -> None:
    parts, sound, out = segments(tmp_path, 25), track(tmp_path, seconds), tmp_path / "out.mp4"
    if fits:
        remux(parts, sound, out, fps=25, frames=25)
        return
    with pytest.raises(Failed, match=f"{seconds:.3f} s of audio for 1.000 s of video"):
        remux(parts, sound, out, fps=25, frames=25)
    assert not out.exists()


def test_longer_sound_is_kept_when_it_is_expected(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    remux(segments(tmp_path, 25), track(tmp_path, 1.2), out, fps=25, frames=25, audio_may_exceed=True)
    assert describe(out)["audio"]["duration_s"] == pytest.approx(1.2)
    assert describe(out)["video"]["duration_s"] == 1.0


@pytest.mark.parametrize("frames", [0, 13, 15])
def test_another_number_of_frames_than_expected_is_a_failure(tmp_path: Path, frames: int) -> None:
    with pytest.raises(Failed, match=f"found 14 frames in the segments where {frames} belong"):
        remux(segments(tmp_path, 7, 7), None, tmp_path / "out.mp4", fps=25, frames=frames)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    "other", [replace(VIDEO, width=128), replace(VIDEO, preset="ultrafast"), replace(VIDEO, fps=30)]
)
def test_segments_that_are_encoded_differently_are_a_failure(tmp_path: Path, other: VideoFormat) -> None:
    parts = [segment(tmp_path / "0.mp4", VIDEO, 0, 7), segment(tmp_path / "1.mp4", other, 7, 14)]
    with pytest.raises(Failed, match=r"1\.mp4 is encoded differently"):
        remux(parts, None, tmp_path / "out.mp4", fps=25, frames=14)
    assert not (tmp_path / "out.mp4").exists()


def test_broken_segments_and_tracks_are_failures_that_name_the_file(tmp_path: Path) -> None:
    first, second = segments(tmp_path, 7, 7)
    out = tmp_path / "out.mp4"
    cut = copy_cut(second, tmp_path / "cut.mp4", keep=0.8)
    noise = copy_with_noise(second, tmp_path / "noise.mp4", at=0.0)
    sound = track(tmp_path, 0.56)
    for parts, audio, name in [
        ([first, cut], None, "cut.mp4"),
        ([first, noise], None, "noise.mp4"),
        ([first, tmp_path / "missing.mp4"], None, "missing.mp4"),
        ([first, sound], None, "audio.m4a"),
        ([first, second], tmp_path / "missing.m4a", "missing.m4a"),
        ([first, second], copy_cut(sound, tmp_path / "cut.m4a", keep=0.9), "cut.m4a"),
        ([first, second], write_video(tmp_path / "mute.mp4", 3), "mute.mp4"),
    ]:
        with pytest.raises(Failed, match=name):
            remux(parts, audio, out, fps=25, frames=14)
        assert not out.exists()


def test_a_full_disk_while_joining_is_a_failure(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.symlink_to("/dev/full")
    with pytest.raises(Failed, match=r"Writing .*out\.mp4 failed \(No space left on device\)"):
        remux(segments(tmp_path, 7), None, out, fps=25, frames=7)
    assert not out.is_symlink()
