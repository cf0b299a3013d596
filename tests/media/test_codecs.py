"""Encoders: what a machine has is found out by encoding, and what it lacks is refused in one sentence."""

from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from infra import media_codecs
from infra.errors import Failed, Rejected
from infra.media_codecs import Codec, demand_encoder, encoder_options, encoding_problem
from infra.media_planes import Planes, to_planes
from infra.media_video import SegmentEncoder, VideoFormat
from jobs import manifest
from tests.media_files import moving

SMALL = VideoFormat(640, 360)
CODECS: tuple[Codec, ...] = get_args(Codec)


@pytest.fixture
def no_card() -> str:
    """Why this machine has no NVENC."""
    problem = encoding_problem("h264_nvenc")
    if problem is None:
        pytest.skip("this machine has an NVIDIA encoder")
    return problem


def decoded(path: Path) -> list[Planes]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(), np.uint8) for frame in container.decode(video=0)]


def encode(path: Path, video: VideoFormat, threads: int = 1) -> Path:
    with SegmentEncoder(path, video, threads=threads) as encoder:
        for index in range(12):
            encoder.write(to_planes(moving(video, index), video.matrix))
    return path


def test_the_manifest_and_the_encoder_know_the_same_codecs_and_presets() -> None:
    assert get_args(manifest.Codec) == CODECS
    assert set(media_codecs._NVENC_PRESETS) == set(get_args(manifest.Preset))


def test_x264_is_everywhere() -> None:
    assert encoding_problem("libx264") is None
    demand_encoder("libx264")


def test_a_machine_without_a_card_refuses_nvenc_with_one_sentence(no_card: str) -> None:
    assert "cannot encode with h264_nvenc (" in no_card and no_card.endswith(").")
    with pytest.raises(Rejected, match="needs an NVIDIA card") as refused:
        demand_encoder("h264_nvenc")
    assert "\n" not in str(refused.value)
    assert av.logging.get_level() is None, "FFmpeg must be as quiet as before"


def test_a_segment_that_cannot_be_encoded_says_with_what(no_card: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(Failed, match=r"Encoding .*a\.mp4 with h264_nvenc failed \("):
        encode(path, VideoFormat(640, 360, codec="h264_nvenc"))
    assert not path.exists()


def test_a_card_encodes_what_the_contract_of_segments_demands(tmp_path: Path) -> None:
    problem = encoding_problem("h264_nvenc")
    if problem is not None:
        pytest.skip(problem)
    path = encode(tmp_path / "a.mp4", VideoFormat(640, 360, codec="h264_nvenc"))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert all(packet.pts == packet.dts for packet in packets), "no B-frames"
        assert [packet.is_keyframe for packet in packets] == [True] + [False] * 11
    expected = [to_planes(moving(SMALL, index), SMALL.matrix) for index in range(12)]
    assert all(np.abs(one.astype(int) - other).mean() < 3 for one, other in zip(decoded(path), expected, strict=True))


@pytest.mark.parametrize("codec", CODECS)
def test_quality_and_speed_reach_every_codec(codec: Codec) -> None:
    usual = encoder_options(codec, 20, "veryfast")
    assert "20" in usual.values()
    assert encoder_options(codec, 23, "veryfast") != usual != encoder_options(codec, 20, "medium")
    assert encoder_options(codec, 0, "veryfast").get("tune", "lossless") == "lossless"


def test_nvenc_takes_the_card_of_the_worker() -> None:
    assert encoder_options("h264_nvenc", 20, "veryfast", device=3)["gpu"] == "3"


def test_two_threads_encode_what_one_does(tmp_path: Path) -> None:
    one, two = (decoded(encode(tmp_path / f"{threads}.mp4", SMALL, threads)) for threads in (1, 2))
    assert len(one) == len(two) == 12
    assert all(np.array_equal(first, second) for first, second in zip(one, two, strict=True))
