"""Which motion of a crop box is a head's, and which is an error of detection."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from jobs.avatar_spec import Box, FrameSize
from workers.avatar.sources.geometry import box_findings
from workers.avatar.sources.jumps import box_jumps

Motion = npt.NDArray[np.float64]

FRAMES = 500
TIME_S = np.arange(FRAMES) / 25


def track(side_px: float, across: Motion, down: Motion, growth: Motion) -> list[Box]:
    """Crop boxes that move and grow by parts of their side, cut to whole pixels as landmarks are."""
    boxes = []
    for x, y, size in zip(across, down, growth, strict=True):
        left, top, width = int(900 + x * side_px), int(300 + y * side_px), side_px * (1 + size)
        boxes.append((left, top, int(left + width), int(top + width)))
    return boxes


def tremble(amount: float) -> Motion:
    """What landmarks do although the head is at rest, in parts of the box's side."""
    return np.random.default_rng(0).normal(0, amount, (3, FRAMES))


STILL = np.zeros(FRAMES)
MOTIONS = {
    "at rest": (STILL, STILL, STILL),
    "a seamless loop": (0.1 * np.sin(2 * np.pi * TIME_S / 20), 0.05 * np.cos(2 * np.pi * TIME_S / 20), STILL),
    "a walk whose ends do not meet": (0.2 * TIME_S, STILL, STILL),
    "swaying twice a second": (0.15 * np.sin(4 * np.pi * TIME_S), STILL, STILL),
    "hard nods": (STILL, sum((0.2 * np.exp(-(((TIME_S - at) / 0.12) ** 2)) for at in (3, 7, 12)), STILL), STILL),
    "turning the head": (STILL, STILL, -0.2 * np.exp(-(((TIME_S - 10) / 0.3) ** 2))),
    "coming nearer": (STILL, STILL, 0.03 * TIME_S),
}


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("side_px", [60, 164, 328, 700])
@pytest.mark.parametrize("trembling", [0.0, 0.005, 0.01])
def test_what_a_head_does_is_no_jump(motion: str, side_px: float, trembling: float) -> None:
    noise = tremble(trembling)
    across, down, growth = (part + shake for part, shake in zip(MOTIONS[motion], noise, strict=True))
    assert box_jumps(track(side_px, across, down, growth)) == {}


def leap_once(boxes: Motion, side_px: int) -> None:
    boxes[200] += side_px * 0.25


def stay_away(boxes: Motion, side_px: int) -> None:
    boxes[200:] += side_px * 0.25


def stray_for_a_while(boxes: Motion, side_px: int) -> None:
    boxes[200:210, [1, 3]] -= side_px * 0.25


def grow_suddenly(boxes: Motion, side_px: int) -> None:
    boxes[200, 2:] += side_px * 0.25


@pytest.mark.parametrize("motion", ["at rest", "swaying twice a second", "a walk whose ends do not meet"])
@pytest.mark.parametrize("side_px", [60, 328])
@pytest.mark.parametrize(
    ("fault", "frames"),
    [(leap_once, [200]), (stay_away, [200]), (stray_for_a_while, [200, 210]), (grow_suddenly, [200])],
)
def test_a_leap_is_found_where_it_is(
    motion: str, side_px: int, fault: Callable[[Motion, int], None], frames: list[int]
) -> None:
    across, down, growth = (part + shake for part, shake in zip(MOTIONS[motion], tremble(0.005), strict=True))
    boxes = np.array(track(side_px, across, down, growth), np.float64)
    fault(boxes, side_px)
    jumps = box_jumps([(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in boxes])
    assert list(jumps) == frames
    assert all(0.15 < jump < 0.45 for jump in jumps.values())


def short(motion: str, side_px: int) -> Motion:
    """Two seconds of a motion."""
    across, down, growth = (part[:50] + shake[:50] for part, shake in zip(MOTIONS[motion], tremble(0.005), strict=True))
    return np.array(track(side_px, across, down, growth), np.float64)


def whole(boxes: Motion) -> list[Box]:
    return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in boxes]


@pytest.mark.parametrize("motion", ["at rest", "swaying twice a second", "a walk whose ends do not meet"])
@pytest.mark.parametrize("frame", [0, 1, 2, 3, 4, 45, 46, 47, 48, 49])
def test_a_leap_near_an_end_is_found_where_it_is(motion: str, frame: int) -> None:
    boxes = short(motion, 328)
    boxes[frame] += 328 * 0.3
    assert list(box_jumps(whole(boxes))) == [frame]


@pytest.mark.parametrize("motion", ["at rest", "swaying twice a second", "a walk whose ends do not meet"])
@pytest.mark.parametrize("frame", [2, 3, 4, 45, 46, 47, 48, 49])
def test_a_cut_near_an_end_is_found_where_it_is(motion: str, frame: int) -> None:
    boxes = short(motion, 328)
    boxes[frame:] += 328 * 0.3
    assert list(box_jumps(whole(boxes))) == [frame]


def test_a_box_outside_the_picture_drags_no_neighbour_in() -> None:
    boxes = whole(short("at rest", 328))
    boxes[3] = (5000, 300, 5328, 628)
    assert [finding.code for finding in box_findings(boxes, FrameSize(width=1920, height=1080))] == ["box-outside"]


def test_boxes_that_tremble_too_much_are_found_although_all_do() -> None:
    away = np.where(np.arange(FRAMES) % 2, 0.2, 0.0)
    assert len(box_jumps(track(200, away, STILL, STILL))) > FRAMES / 3


@pytest.mark.parametrize("boxes", [[], [(0, 0, 9, 9)], [(0, 0, 0, 0)] * 3, [(5, 5, 1, 1), (0, 0, 0, 0)]])
def test_few_or_empty_boxes_do_no_harm(boxes: list[Box]) -> None:
    assert box_jumps(boxes) == {}
