"""When the encoder would hold up a fast device, the worker can say so."""

from typing import get_args

import pytest

from jobs.avatar_spec import FrameSize
from jobs.manifest import Preset
from workers.encoding_capacity import core_shortage, cores_wanted

HD, FULL_HD = FrameSize(width=1280, height=720), FrameSize(width=1920, height=1080)


def test_three_cores_carry_178_frames_a_second_of_720_lines() -> None:
    assert cores_wanted(178, HD) == pytest.approx(3, abs=0.05)
    assert core_shortage(175, HD, 3) is None


def test_too_few_cores_are_told_with_what_would_help() -> None:
    sentence = core_shortage(400, HD, 4)
    assert sentence is not None
    for part in ("400 frames/s", "1280x720", "about 7 CPU cores", "veryfast", "has 4", "--preset"):
        assert part in sentence
    assert core_shortage(400, HD, 4, "ultrafast") is None


def test_more_pixels_and_slower_presets_want_more_cores() -> None:
    assert cores_wanted(100, FULL_HD) == pytest.approx(2.25 * cores_wanted(100, HD))
    wanted = [cores_wanted(100, HD, preset) for preset in get_args(Preset)]
    assert wanted == sorted(wanted) and len(set(wanted)) == len(wanted)
