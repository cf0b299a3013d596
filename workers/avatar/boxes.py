"""Crop boxes of a source: from landmarks or rectangles, for every template frame, inside the picture. No I/O."""

import math
from collections.abc import Container, Mapping, Sequence

from infra.errors import Rejected
from jobs.avatar_spec import Box, FrameSize
from workers.avatar.findings import Finding, some

LANDMARKS = 110
# Landmarks at the cheeks and below the brow that span the box: render contract, "Template".
_LEFT, _TOP, _RIGHT = 1, 52, 31


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
        raise Rejected(f"{name} is not a crop box `[x0, y0, x1, y1]`: {str(value)[:80]}.") from None
    return x0, y0, x1, y1


def _whole(number: str | float) -> int:
    """Truncated towards zero, as the reference does; raises for NaN and infinities."""
    if isinstance(number, bool):
        raise TypeError
    return int(float(number))


def first_number(numbers: Container[int], frames: int, default: int) -> int:
    """Whether files of `frames` template frames are numbered from 0 or from 1, where some may be missing.

    Args:
        numbers: those that are there.
        frames: number of template frames.
        default: the answer when the numbers fit both.
    """
    if 0 in numbers:
        return 0
    return 1 if frames in numbers else default


def fill_boxes(found: Mapping[int, Box], frames: int, what: str) -> tuple[tuple[Box, ...], list[Finding]]:
    """One box per template frame; a frame without one takes that of its nearest neighbour, the earlier one on a tie.

    Args:
        found: template frame → box; may have gaps.
        frames: number of template frames.
        what: what a box comes from, for messages: `landmarks` or `crop box`.

    Raises:
        Rejected: no frame has a box.
    """
    known = sorted(frame for frame in found if 0 <= frame < frames)
    if not known:
        raise Rejected(f"No template frame has {what}: without a crop box nothing can be drawn.")
    missing = [frame for frame in range(frames) if frame not in found]
    boxes, position = [], 0
    for frame in range(frames):
        while position + 1 < len(known) and abs(known[position + 1] - frame) < abs(known[position] - frame):
            position += 1
        boxes.append(found[known[position]])
    if not missing:
        return tuple(boxes), []
    sentence = f"Template frames without {what} ({some(missing)}) take the crop box of their nearest neighbour."
    return tuple(boxes), [Finding("repair", sentence)]


def check_inside(boxes: Sequence[Box], size: FrameSize) -> list[Finding]:
    """Refuse boxes that leave the picture, warn of those that are not square.

    Raises:
        Rejected: names the first frame whose box is empty or leaves the picture, and how many others there are.
    """
    bad = [
        frame
        for frame, (x0, y0, x1, y1) in enumerate(boxes)
        if not (0 <= x0 < x1 <= size.width and 0 <= y0 < y1 <= size.height)
    ]
    if bad:
        others = f", and so do those of {len(bad) - 1} other frames" if len(bad) > 1 else ""
        raise Rejected(
            f"The crop box of template frame {bad[0]}, {list(boxes[bad[0]])}, is empty or leaves the "
            f"{size.width}x{size.height} picture{others}: crop the recording so that the face lies well inside."
        )
    oblong = [frame for frame, (x0, y0, x1, y1) in enumerate(boxes) if x1 - x0 != y1 - y0]
    if not oblong:
        return []
    sentence = f"Crop boxes that are not square distort the face: those of template frames {some(oblong)}."
    return [Finding("warning", sentence)]


def common_length(frames: int, boxes: int, what: str) -> tuple[int, list[Finding]]:
    """How many template frames to keep when a clip and its list of boxes differ in length.

    Both begin at the same frame, so a few too many at one end are cut. A large difference means that they do not
    belong together.

    Args:
        frames: in the clip.
        boxes: in the list.
        what: name of the file of boxes, for messages.

    Raises:
        Rejected: they differ by more than 5 frames and by more than 1 percent.
    """
    if frames == boxes:
        return frames, []
    both = f"The template clip has {frames} frames and {what} has boxes for {boxes}"
    if abs(frames - boxes) > max(5, math.ceil(0.01 * max(frames, boxes))):
        raise Rejected(f"{both}: they do not belong together.")
    kept = min(frames, boxes)
    return kept, [Finding("repair", f"{both}: the first {kept} are kept.")]
