"""Laying out pictures with captions on one sheet: no I/O, OpenCV only."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from workers.render.crop import Picture

WIDTH_PX: Final = 1600
_MARGIN_PX: Final = 32
_GAP_PX: Final = 14
_CAPTION_PX: Final = 22
_HEADING_PX: Final = 40
_TITLE_PX: Final = 52
_PAPER: Final = (34, 30, 28)  # BGR, dark and almost neutral: faces are judged better than on white
_INK: Final = (235, 235, 235)
_FAINT: Final = (170, 165, 160)
_LINE: Final = (80, 220, 255)  # yellow, seen on skin and on hair alike
_EDGE: Final = (0, 0, 0)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


class Cell(NamedTuple):
    """Pictures of one size, one below the other, and what stands beneath them."""

    pictures: tuple[Picture, ...]
    """Each uint8 (H, W, 3), BGR."""
    caption: str


class Section(NamedTuple):
    """Cells in rows under a heading."""

    heading: str
    columns: int
    cells: Sequence[Cell]


def contact_sheet(title: str, facts: str, sections: Sequence[Section]) -> Picture:
    """Draw a sheet that is `WIDTH_PX` wide and as high as it needs to be.

    Args:
        title: first line.
        facts: second line, smaller.
        sections: below them, in order.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    head = _strip(_TITLE_PX + _HEADING_PX)
    _write(head, title, _MARGIN_PX, 46, 0.95, _INK)
    _write(head, facts, _MARGIN_PX, 76, 0.5, _FAINT)
    parts = [head]
    for section in sections:
        heading = _strip(_HEADING_PX)
        _write(heading, section.heading, _MARGIN_PX, 26, 0.58, _INK)
        parts.append(heading)
        rows = range(0, len(section.cells), section.columns)
        parts += [_row(section.cells[start : start + section.columns], section.columns) for start in rows]
    return np.concatenate([*parts, _strip(_MARGIN_PX // 2)])


def outline(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """A copy of a picture with a box `[x0, y0, x1, y1]` (half-open) drawn around the pixels that belong to it."""
    marked = picture.copy()
    x0, y0, x1, y1 = box
    thick = max(round(picture.shape[1] / 240), 1)  # so that more than a pixel of each line is left on the sheet
    for reach, colour in ((2 * thick, _EDGE), (thick, _LINE)):
        marked[max(y0 - reach, 0) : y1 + reach, max(x0 - reach, 0) : x1 + reach] = colour
    marked[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
    return marked


def _row(cells: Sequence[Cell], columns: int) -> Picture:
    inner_px = WIDTH_PX - 2 * _MARGIN_PX
    cell_px = (inner_px - (columns - 1) * _GAP_PX) // columns
    drawn = [[_fit(picture, cell_px) for picture in cell.pictures] for cell in cells]
    heights = [max(pictures[line].shape[0] for pictures in drawn) for line in range(len(drawn[0]))]
    row = _strip(sum(heights) + (len(heights) - 1) * 4 + _CAPTION_PX + _GAP_PX)
    for index, (pictures, cell) in enumerate(zip(drawn, cells, strict=True)):
        x, y = _MARGIN_PX + index * (cell_px + _GAP_PX), 0
        for picture, height in zip(pictures, heights, strict=True):
            row[y : y + picture.shape[0], x : x + cell_px] = picture
            y += height + 4
        _write(row, cell.caption, x, y + 13, 0.42, _FAINT)
    return row


def _fit(picture: Picture, width_px: int) -> Picture:
    height_px = max(round(picture.shape[0] * width_px / picture.shape[1]), 1)
    how = cv2.INTER_AREA if width_px < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=how), np.uint8)


def _strip(height_px: int) -> Picture:
    return np.full((height_px, WIDTH_PX, 3), _PAPER, np.uint8)


def _write(strip: Picture, text: str, x: int, y: int, scale: float, colour: tuple[int, int, int]) -> None:
    """Write one line; OpenCV's font has ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(strip, plain, (x, y), _FONT, scale, colour, 1, cv2.LINE_AA)
