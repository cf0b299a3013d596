"""Decoded template frames, from pictures or from a video."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from infra.errors import Damaged, Rejected
from infra.media_video import decode_video
from jobs.avatar_spec import FrameSize, VideoTemplate, parsing_file
from workers.avatar.pack import Pack
from workers.render.crop import Picture

# A JPEG ends with this marker, which entropy-coded data cannot contain. Some decoders fill what a cut-off file lacks
# with grey and say nothing. Some writers append a few bytes of their own after it.
_JPEG_END, _JPEG_TAIL_BYTES = b"\xff\xd9", 1024
_JPEG_START = b"\xff\xd8"


def read_picture(path: Path, name: str) -> Picture:
    """Decode a picture file as `cv2.imread` does.

    Args:
        path: the file.
        name: how messages call it.

    Returns:
        uint8 (H, W, 3), BGR.

    Raises:
        Rejected: it is missing, cut off, or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Rejected(f"Reading the picture {name} failed: {os.strerror(error.errno or 0)}.") from error
    if data.startswith(_JPEG_START) and _JPEG_END not in data[-_JPEG_TAIL_BYTES:]:
        raise Rejected(f"{name} is cut off, its end is missing: replace the file.")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        picture = None
    if picture is None:
        raise Rejected(f"{name} is not a picture that can be decoded: replace the file.")
    return np.asarray(picture, np.uint8)


def cut_to(picture: Picture, size: FrameSize, name: str) -> Picture:
    """Drop the last row and column of a picture of odd size.

    Raises:
        Rejected: the picture is of another size than `size`, rounded up to odd, allows.
    """
    height, width = picture.shape[:2]
    if (even(width), even(height)) != (size.width, size.height):
        raise Rejected(
            f"{name} measures {width}x{height} pixels, the template's frames measure {size.width}x{size.height}: "
            "all frames must be of one size."
        )
    return picture[: size.height, : size.width]


def even(length_px: int) -> int:
    """The largest even number that is not above `length_px`."""
    return length_px - length_px % 2


def template_frames(pack: Pack) -> Iterator[Picture]:
    """Decode all template frames of a pack in order, uint8 (H, W, 3), BGR, of the pack's frame size.

    Raises:
        Damaged: a frame cannot be decoded or is of another size, or there are fewer than crop boxes.
    """
    spec = pack.spec
    frame = 0
    try:
        for name, picture in _decoded(pack):
            yield cut_to(picture, spec.frame_size, name)
            frame += 1
            if frame == spec.frame_count:
                return
    except Rejected as error:
        raise Damaged(f"Template frame {frame} of avatar {pack.digest} cannot be used: {error}") from error
    raise Damaged(
        f"The template clip of avatar {pack.digest} ends after {frame} frames, but has {spec.frame_count} crop boxes: "
        "import the avatar again."
    )


def _decoded(pack: Pack) -> Iterator[tuple[str, Picture]]:
    template = pack.spec.template
    if isinstance(template, VideoTemplate):
        for picture in decode_video(pack.root / template.file, template.matrix):
            yield template.file, picture
    else:
        for name in pack.spec.template_files:
            yield name, read_picture(pack.root / name, name)


def keep_mask(pack: Pack, frame: int) -> npt.NDArray[np.bool_]:
    """Read where the template stays although the mouth is drawn anew.

    Args:
        pack: the avatar.
        frame: index of a template frame that has a parsing map.

    Returns:
        bool (box height, box width), true where the parsing map is pure red or pure white.

    Raises:
        Damaged: the map cannot be decoded or is of another size than the frame.
    """
    name = parsing_file(frame)
    try:
        picture = cut_to(read_picture(pack.root / name, name), pack.spec.frame_size, name)
    except Rejected as error:
        raise Damaged(f"The parsing map of avatar {pack.digest} cannot be used: {error}") from error
    x0, y0, x1, y1 = pack.spec.boxes[frame]
    blue, green, red = np.moveaxis(picture[y0:y1, x0:x1], 2, 0)
    return np.asarray((red == 255) & (blue == green) & ((blue == 0) | (blue == 255)))
