"""Crop boxes: from landmarks or rectangles, for every template frame, and what is wrong with them. No I/O."""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from infra.errors import Rejected
from jobs.avatar_spec import Box, FrameSize
from jobs.timing import FPS
from workers.avatar.findings import Code, Finding, Reading, runs, some
from workers.avatar.sources.jumps import box_jumps
from workers.render.crop import CROP_PX

LANDMARKS = 110
# Landmarks at the cheeks and below the brow that span the box: render contract, "Template".
_LEFT, _TOP, _RIGHT = 1, 52, 31

_SCALE: Final = 2.0  # a face that is resized by more than this looks softer than the picture around it
_STANDSTILL_FRAMES: Final = FPS // 2  # half a second with a box that stands still while the head moves is seen


def box_from_landmarks(text: str, name: str) -> Box:
    """The crop box of one frame.

    Args:
        text: 110 lines `x y` in pixels.
        name: the file's name, for messages.

    Raises:
        Rejected: it does not hold 110 points.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) != LANDMARKS:
        raise Rejected(f"{name} has {len(lines)} lines, {LANDMARKS} are expected: detect its landmarks again.")
    try:
        points = [(_whole(x), _whole(y)) for x, y in lines]
    except (ValueError, OverflowError):
        raise Rejected(f"{name} has a line that is not two numbers `x y`: detect its landmarks again.") from None
    x0, y0, x1 = points[_LEFT][0], points[_TOP][1], points[_RIGHT][0]
    return x0, y0, x1, y0 + (x1 - x0)


def box_from_rectangle(value: object, name: str) -> Box:
    """The crop box that a JSON file gives as `[x0, y0, x1, y1]`.

    Raises:
        Rejected: it is not four numbers.
    """
    try:
        if not isinstance(value, list):
            raise TypeError
        x0, y0, x1, y1 = (_whole(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        raise Rejected(f"{name} is not a crop box `[x0, y0, x1, y1]`, correct it: {str(value)[:80]}.") from None
    return x0, y0, x1, y1


def _whole(number: str | float) -> int:
    """Truncated towards zero, as the reference does; raises for NaN and infinities."""
    if isinstance(number, bool):
        raise TypeError
    return int(float(number))


def first_number(numbers: Container[int], frames: int | None, default: int) -> int:
    """Whether files of `frames` template frames are numbered from 0 or from 1, where some may be missing.

    Args:
        numbers: those that are there.
        frames: number of template frames, None when nobody knows.
        default: the answer when the numbers fit both.
    """
    if 0 in numbers:
        return 0
    return 1 if frames in numbers else default


def fill_boxes(found: Mapping[int, Box], frames: int) -> tuple[Box, ...]:
    """One box per template frame; a frame without one takes that of its nearest neighbour, the earlier one on a tie.

    Args:
        found: template frame → box; may have gaps.
        frames: number of template frames.

    Returns:
        Nothing when no frame has a box.
    """
    known = sorted(frame for frame in found if 0 <= frame < frames)
    boxes, position = [], 0
    for frame in range(frames if known else 0):
        while position + 1 < len(known) and abs(known[position + 1] - frame) < abs(known[position] - frame):
            position += 1
        boxes.append(found[known[position]])
    return tuple(boxes)


def missing_boxes(missing: Sequence[int], frames: int, code: Code, what: str) -> Iterator[Finding]:
    """Say which template frames have no box of their own.

    Args:
        missing: those frames, sorted.
        frames: number of template frames.
        code: of the findings.
        what: what a box comes from: `landmarks` or `a crop box`.
    """
    none = what.removeprefix("a ")
    if not missing:
        return
    if len(missing) == frames:
        sentence = f"No template frame has {what}: without a crop box nothing can be drawn, so detect the face again."
        yield Finding("error", code, sentence)
        return
    sentence = (
        f"{len(missing)} of {frames} template frames have no {none} ({some(missing)}): they take the crop box of their "
        "nearest neighbour; detect the face again where one is to be seen."
    )
    yield Finding("repair", code, sentence, f"{len(missing)} of {frames} frames, {' '.join(runs(missing))}")
    first, last = _longest_run(missing)
    if last - first + 1 > _STANDSTILL_FRAMES:
        sentence = (
            f"The template frames {first} to {last} in a row have no {none}: their crop box stands still for "
            f"{(last - first + 1) / FPS:.1f} s, so detect the face again there or cut them out of the clip."
        )
        yield Finding("warning", code, sentence)


def _longest_run(numbers: Sequence[int]) -> tuple[int, int]:
    """First and last of the longest run of consecutive numbers; `numbers` are sorted and not empty."""
    begin, longest = numbers[0], (numbers[0], numbers[0])
    for before, number in pairwise(numbers):
        begin = begin if number == before + 1 else number
        longest = max(longest, (begin, number), key=lambda run: run[1] - run[0])
    return longest


def common_length(frames: int, boxes: int, what: str) -> Reading[int]:
    """How many template frames to keep when a clip and its list of boxes differ in length.

    Both begin at the same frame, so a few too many at one end are cut. A difference of more than 5 frames and more than
    1 percent means that they do not belong together.

    Args:
        frames: in the clip.
        boxes: in the list.
        what: name of the file of boxes, for messages.
    """
    kept, both = min(frames, boxes), f"The template clip has {frames} frames and {what} has boxes for {boxes}"
    if abs(frames - boxes) > max(5, math.ceil(0.01 * max(frames, boxes))):
        sentence = f"{both}: they do not belong together, so detect the face again in this clip."
        yield Finding("error", "length-mismatch", sentence)
    elif frames != boxes:
        sentence = f"{both}: the first {kept} are kept; nothing need be done."
        yield Finding("repair", "length-mismatch", sentence, f"{frames} frames, {boxes} boxes")
    return kept


def box_findings(boxes: Sequence[Box], size: FrameSize | None) -> Iterator[Finding]:
    """Look at an avatar's crop boxes.

    Args:
        boxes: one per template frame.
        size: of a frame; None when nobody knows.
    """
    outside = _outside(boxes, size) if size else []
    if outside and size:
        yield _of_outside(boxes, outside, size)
    oblong = [frame for frame, (x0, y0, x1, y1) in enumerate(boxes) if x1 - x0 != y1 - y0]
    if oblong:
        sentence = (
            f"The crop boxes of {len(oblong)} of {len(boxes)} template frames ({some(oblong)}) are not square and "
            "distort the face: make their height equal to their width."
        )
        yield Finding("warning", "box-shape", sentence)
    yield from _sizes([box for frame, box in enumerate(boxes) if frame not in outside])
    yield from _jumps(boxes, outside)


def _outside(boxes: Sequence[Box], size: FrameSize) -> list[int]:
    return [
        frame
        for frame, (x0, y0, x1, y1) in enumerate(boxes)
        if not (0 <= x0 < x1 <= size.width and 0 <= y0 < y1 <= size.height)
    ]


def _of_outside(boxes: Sequence[Box], outside: list[int], size: FrameSize) -> Finding:
    first, others = outside[0], outside[1:]
    more = f", and so do those of {len(others)} other frames ({some(others)})" if others else ""
    sentence = (
        f"The crop box of template frame {first}, {list(boxes[first])}, is empty or leaves the "
        f"{size.width}x{size.height} picture{more}: crop the recording so that the face lies well inside, or detect "
        "the face again where it was not found."
    )
    return Finding("error", "box-outside", sentence)


def _sizes(boxes: Sequence[Box]) -> Iterator[Finding]:
    sides = [x1 - x0 for x0, _, x1, _ in boxes if x1 > x0]
    if not sides:
        return
    small, large = min(sides), max(sides)
    if small * _SCALE < CROP_PX:
        sentence = (
            f"The smallest crop box is {small} px wide and is enlarged {CROP_PX / small:.1f} times for the networks: "
            f"the mouth will look soft, so record the face larger, at least {CROP_PX / _SCALE:.0f} px wide."
        )
        yield Finding("warning", "box-size", sentence)
    if large > _SCALE * CROP_PX:
        sentence = (
            f"The largest crop box is {large} px wide, and the {CROP_PX} px that the networks draw are enlarged "
            f"{large / CROP_PX:.1f} times to fill it: the mouth will look softer than the face, so scale the recording "
            "down and detect its landmarks again."
        )
        yield Finding("warning", "box-size", sentence)


def _jumps(boxes: Sequence[Box], outside: list[int]) -> Iterator[Finding]:
    leaps = {frame: stray for frame, stray in box_jumps(boxes).items() if frame not in outside}
    if leaps:
        sentence = (
            f"The crop box leaps at {len(leaps)} of {len(boxes)} template frames ({some(leaps)}), by up to "
            f"{100 * max(leaps.values()):.0f} % of its side against the motion of its neighbours, which is seen as a "
            "jerk: detect the face again there, or give those frames a neighbour's box (deleting landmarks does)."
        )
        yield Finding("warning", "box-jump", sentence)
