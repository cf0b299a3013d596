"""Segments keep their colours, their frames and their place in time."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from infra.errors import Failed, NotFound, Rejected
from infra.media_facts import describe
from infra.media_planes import to_planes
from infra.media_video import Matrix, SegmentEncoder, VideoFormat, decode_video, matrix_for, probe_video
from tests.media_files import chirp, moving, segment, write_audio, write_video

HD, SMALL = VideoFormat(1280, 720), VideoFormat(640, 360)
# Luma weights of red and blue: ITU-R BT.709-6 item 3.2 and BT.601-7 section 2.5.1.
WEIGHTS: dict[Matrix, tuple[float, float]] = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114)}
PATCHES = [
    (255, 255, 255),
    (0, 0, 0),
    (0, 0, 255),
    (0, 255, 0),
    (255, 0, 0),
    (60, 120, 200),
    (128, 128, 128),
    (190, 170, 230),
]


def limited_yuv(bgr: tuple[int, int, int], matrix: Matrix) -> npt.NDArray[np.float64]:
    """Y, Cb, Cr of 8-bit limited range, from the definition."""
    blue, green, red = (value / 255 for value in bgr)
    k_red, k_blue = WEIGHTS[matrix]
    luma = k_red * red + (1 - k_red - k_blue) * green + k_blue * blue
    chroma = (blue - luma) / (2 * (1 - k_blue)), (red - luma) / (2 * (1 - k_red))
    return np.array([16 + 219 * luma, 128 + 224 * chroma[0], 128 + 224 * chroma[1]])


def patchwork(video: VideoFormat) -> npt.NDArray[np.uint8]:
    """Eight flat colours, four in a row."""
    tiles = np.array(PATCHES, np.uint8).reshape(2, 4, 3)
    return np.repeat(np.repeat(tiles, video.height // 2, axis=0), video.width // 4, axis=1)


def centres(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Mean of the middle of each patch, row by row."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 4
    tiles = plane.reshape(2, height, 4, width)[:, height // 4 : -height // 4, :, width // 4 : -width // 4]
    return np.asarray(tiles.mean(axis=(1, 3)).reshape(-1), np.float64)


@pytest.mark.parametrize("video", [HD, SMALL])
def test_flat_colours_are_encoded_by_the_formula_of_their_matrix(tmp_path: Path, video: VideoFormat) -> None:
    path = tmp_path / "colours.mp4"
    with SegmentEncoder(path, video) as encoder:
        encoder.write(to_planes(patchwork(video), video.matrix))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        yuv = np.asarray(frame.to_ndarray(), np.uint8)
    luma, chroma = yuv[: video.height], yuv[video.height :].reshape(2, video.height // 2, video.width // 2)
    got = np.stack([centres(luma), centres(chroma[0]), centres(chroma[1])], axis=1)
    expected = np.array([limited_yuv(patch, video.matrix) for patch in PATCHES])
    np.testing.assert_allclose(got, expected, atol=1.5)
    # The other matrix is far away, so the comparison can tell them apart.
    other: Matrix = "smpte170m" if video.matrix == "bt709" else "bt709"
    assert np.abs(np.array([limited_yuv(patch, other) for patch in PATCHES]) - got).max() > 8


@pytest.mark.parametrize(("video", "name"), [(HD, "bt709"), (SMALL, "smpte170m")])
def test_colours_are_tagged_by_their_matrix(tmp_path: Path, video: VideoFormat, name: Matrix) -> None:
    facts = describe(segment(tmp_path / "a.mp4", video, 0, 2))["video"]
    assert {facts[f"colour_{tag}"] for tag in ("primaries", "transfer", "matrix")} == {name}
    assert (facts["colour_range"], facts["pixel_format"], facts["matrix"]) == ("limited", "yuv420p", name)
    assert matrix_for(video.height) == name


@pytest.mark.parametrize("video", [HD, SMALL])
def test_colours_survive_encoding_and_decoding(tmp_path: Path, video: VideoFormat) -> None:
    path = tmp_path / "colours.mp4"
    with SegmentEncoder(path, video) as encoder:
        encoder.write(to_planes(patchwork(video), video.matrix))
    (by_tag,) = decode_video(path, None)
    (by_name,) = decode_video(path, video.matrix)
    np.testing.assert_array_equal(by_tag, by_name)
    got = np.stack([centres(by_tag[..., channel]) for channel in range(3)], axis=1)
    np.testing.assert_allclose(got, PATCHES, atol=4)
    (wrong,) = decode_video(path, "smpte170m" if video.matrix == "bt709" else "bt709")
    assert np.abs(wrong.astype(int) - by_tag).max() > 8


@pytest.mark.parametrize("frames", [1, 2, 7, 250])
@pytest.mark.parametrize("start", [0, 1_000_007])
def test_a_segment_has_every_frame_at_its_place_and_no_b_frames(tmp_path: Path, frames: int, start: int) -> None:
    video = VideoFormat(64, 48)
    path = segment(tmp_path / "a.mp4", video, start, start + frames)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        tick = container.streams.video[0].time_base
        assert tick is not None
        assert [packet.pts * tick for packet in packets if packet.pts is not None] == [
            Fraction(index, 25) for index in range(start, start + frames)
        ]
        assert all(packet.pts == packet.dts for packet in packets)
        assert [index for index, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, frames, 50))
    with av.open(str(path)) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
    assert len(kinds) == frames
    assert av.video.frame.PictureType.B not in kinds
    facts = probe_video(path)
    assert (facts.frames, facts.fps, facts.width, facts.height) == (frames, Fraction(25), 64, 48)
    assert facts.constant_rate
    assert facts.first_s == pytest.approx(start / 25)


def test_consecutive_pictures_stay_distinct_through_the_encoder(tmp_path: Path) -> None:
    video = VideoFormat(128, 96)
    pictures = list(decode_video(segment(tmp_path / "a.mp4", video, 0, 30), None))
    for index, picture in enumerate(pictures):
        distances = [np.abs(picture.astype(int) - moving(video, other)).mean() for other in range(30)]
        assert int(np.argmin(distances)) == index
    assert all(not np.array_equal(one, other) for one, other in pairwise(pictures))


def test_an_exception_while_encoding_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(RuntimeError, match="stop"), SegmentEncoder(path, SMALL) as encoder:
        encoder.write(to_planes(moving(SMALL, 0), SMALL.matrix))
        raise RuntimeError("stop")
    assert not path.exists()


def test_a_segment_without_frames_is_a_failure_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="without a single frame"), SegmentEncoder(tmp_path / "a.mp4", SMALL):
        pass
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.parametrize("shape", [(540, 640, 1), (960, 360), (360, 640)])
def test_planes_of_another_shape_are_no_frame(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"), SegmentEncoder(tmp_path / "a.mp4", SMALL) as encoder:
        encoder.write(np.zeros(shape, np.uint8))


def test_a_full_disk_is_a_failure_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.symlink_to("/dev/full")
    with pytest.raises(Failed, match=r"a\.mp4 failed \(No space left on device\)"):
        segment(path, SMALL, 0, 3)
    assert not path.is_symlink()


def test_a_disk_that_fills_up_with_the_last_write_is_a_failure(tmp_path: Path) -> None:
    # A file-size limit one byte below the finished segment: FFmpeg alone would lose the error of its last write.
    size = segment(tmp_path / "whole.mp4", VideoFormat(64, 48), 0, 3).stat().st_size
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from infra.media_video import VideoFormat; from tests.media_files import segment\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size - 1}, {size - 1}))\n"
        "segment(Path(sys.argv[1]), VideoFormat(64, 48), 0, 3)"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path / "a.mp4")], capture_output=True, text=True, check=False
    )
    assert "infra.errors.Failed: Writing" in run.stderr
    assert "File too large" in run.stderr
    assert not (tmp_path / "a.mp4").exists()


def test_files_that_are_no_video_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        probe_video(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    with pytest.raises(Rejected, match="cannot be read"):
        list(decode_video(tmp_path / "text.mp4", None))
    sound = write_audio(tmp_path / "a.m4a", chirp(1.0, 16_000), 16_000)
    with pytest.raises(Rejected, match="no video in it"):
        probe_video(sound)
    with pytest.raises(Rejected, match="no video in it"):
        list(decode_video(sound, None))


def test_facts_of_a_foreign_clip_with_b_frames_are_right(tmp_path: Path) -> None:
    facts = probe_video(write_video(tmp_path / "a.mkv", 60))
    assert (facts.frames, facts.fps, facts.matrix) == (60, Fraction(25), None)
    assert facts.constant_rate
    assert len(list(decode_video(tmp_path / "a.mkv", None))) == 60


def test_a_clip_with_uneven_times_has_no_constant_rate(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(moving(VideoFormat(64, 48), index), format="bgr24")
            frame.pts, frame.time_base = index * 40 + (index % 3) * 10, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert not probe_video(path).constant_rate
