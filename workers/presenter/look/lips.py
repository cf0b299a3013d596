"""The presenter's mouth, drawn from what the articulators do. Coordinates are pixels from its centre, shut."""

from typing import NamedTuple

from workers.presenter.look.brush import Brush, Gradient, Shape, oval, smooth, straight
from workers.presenter.mouth import Mouth

_HEIGHT_PX = 40.0  # of the gap when wide open
_SKIN_SHADOW = 0x9A5638
_UPPER_LIP, _MIDDLE_LIP, _LOWER_LIP = 0xA8473F, 0xBF5B50, 0xD27F6E

_BOWL = ((0.84, 0.50), (0.50, 0.88), (0.0, 1.0), (-0.50, 0.88), (-0.84, 0.50))
"""A lower lip's curve from the right corner to the left: parts of its half width and of its depth."""


class _Contour(NamedTuple):
    """Where the lips are, in pixels."""

    half_width: float
    gap_half_width: float
    gap_top: float
    gap_bottom: float
    lip_top: float
    lip_bottom: float
    corner: float

    def lips(self) -> Shape:
        """The outer edge of both lips."""
        w, top, low = self.half_width, self.lip_top, self.lip_bottom
        drop = low - self.corner
        return smooth(
            [
                *[(-w, self.corner)] * 2,
                (-w * 0.55, self.corner + (top - self.corner) * 0.66),
                (-w * 0.20, top),
                (0.0, top + 2.8),
                (w * 0.20, top),
                (w * 0.55, self.corner + (top - self.corner) * 0.66),
                *[(w, self.corner)] * 2,
                *((w * x, self.corner + drop * y) for x, y in _BOWL),
            ]
        )

    def gap(self) -> Shape:
        """The inner edge."""
        return smooth([*self.upper_edge(), *reversed(self.lower_edge())])

    def upper_edge(self) -> list[tuple[float, float]]:
        """Inner edge of the upper lip, from corner to corner."""
        w, top = self.gap_half_width, self.gap_top
        bent = self.corner + (top - self.corner) * 0.72
        return [
            *[(-w, self.corner)] * 2,
            (-w * 0.55, bent),
            (-w * 0.18, top),
            (0.0, top + 1.0),
            (w * 0.18, top),
            (w * 0.55, bent),
            *[(w, self.corner)] * 2,
        ]

    def lower_edge(self) -> list[tuple[float, float]]:
        """Inner edge of the lower lip, from corner to corner, without the corners."""
        w, low = self.gap_half_width, self.gap_bottom
        return [(-w * x, self.corner + (low - self.corner) * y) for x, y in _BOWL]


def _contour(mouth: Mouth) -> _Contour:
    gap = _HEIGHT_PX * mouth.open
    half_width = 43.0 + 8.0 * mouth.width - 19.0 * mouth.round - 3.0 * mouth.open
    upper_lip = 9.0 + 3.0 * mouth.round - 1.5 * mouth.width
    lower_lip = 12.5 + 3.0 * mouth.round - 1.5 * mouth.width - 5.0 * mouth.tuck
    gap_top = -0.24 * gap - 1.0 * mouth.tuck
    gap_bottom = 0.76 * gap - 2.0 * mouth.tuck * min(gap / 6.0, 1.0)
    return _Contour(
        half_width=half_width,
        gap_half_width=max(half_width - 6.0 - 1.0 * mouth.round, 4.0),
        gap_top=gap_top,
        gap_bottom=gap_bottom,
        lip_top=gap_top - upper_lip,
        lip_bottom=gap_bottom + lower_lip,
        corner=-3.6 - 1.6 * mouth.width + 2.6 * mouth.round + 0.13 * gap,
    )


def draw_mouth(brush: Brush, mouth: Mouth) -> None:
    """Draw lips, and what is seen between them."""
    at = _contour(mouth)
    lips, gap = at.lips(), at.gap()
    _shadows(brush, at, mouth)
    brush.fill(
        lips, Gradient((0, at.lip_top), (0, at.lip_bottom), (_UPPER_LIP, _MIDDLE_LIP, _LOWER_LIP), stops=(0, 0.5, 1))
    )
    with brush.inside(lips):
        brush.stroke(lips, 0x8C3A33, 2.0, 0.35, blur=1.2)
        shine = at.lip_bottom - 0.55 * (at.lip_bottom - at.gap_bottom)
        glow = smooth(
            [(-at.half_width * 0.34, shine - 1), (0, shine + 1), (at.half_width * 0.34, shine - 1)], closed=False
        )
        brush.stroke(glow, 0xFFE3D6, 3.4, 0.62, blur=1.7)
        bow = smooth(
            [(-at.half_width * 0.2, at.lip_top + 2), (0, at.lip_top + 4.5), (at.half_width * 0.2, at.lip_top + 2)],
            False,
        )
        brush.stroke(bow, 0xF2B7A0, 1.8, 0.40, blur=1.0)
    parted = min(at.gap_bottom - at.gap_top, 4.0) / 4.0
    brush.fill(gap, Gradient((0, at.gap_top), (0, at.gap_bottom + 1), (0x2A0A10, 0x4A151C)), opacity=parted)
    with brush.inside(gap):
        _inside(brush, at, mouth, parted)
    seam = smooth(at.upper_edge()[1:-1], closed=False)
    brush.stroke(seam, 0x5E1F20, 2.0, 0.85 - 0.45 * parted, blur=0.4)
    _corners(brush, at)


def _inside(brush: Brush, at: _Contour, mouth: Mouth, parted: float) -> None:
    gap, wide = at.gap_bottom - at.gap_top, at.gap_half_width
    tip = at.gap_bottom + 8.0 - (8.0 + 0.46 * gap) * mouth.tongue - 0.08 * gap
    tongue = oval(0, tip + 20.0, wide * 0.66, 22.0)
    brush.fill(tongue, Gradient((0, tip - 2), (0, tip + 18), (0xC4606C, 0x8E3344)), opacity=parted)
    brush.stroke(straight([(0, tip + 3), (0, tip + 14)], closed=False), 0x80303E, 1.6, 0.5 * parted)
    length = 3.0 + 7.0 * mouth.teeth
    low = at.gap_top + length
    upper = smooth(
        [
            (-wide * 0.9, at.gap_top - 9),
            (wide * 0.9, at.gap_top - 9),
            (wide * 0.84, low - 3),
            (0, low),
            (-wide * 0.84, low - 3),
        ]
    )
    white = Gradient((0, at.gap_top - 2), (0, low), (0xD9D2CA, 0xFAF7F1))
    brush.fill(upper, white, opacity=parted)
    for x in (-0.56, -0.28, 0.0, 0.28, 0.56):
        brush.stroke(
            straight([(x * wide, at.gap_top - 4), (x * wide * 0.98, low - 2)], False), 0xB4A9A0, 1.0, 0.30 * parted
        )
    if mouth.teeth > 0.5:  # jaws close together, as for /s/: the lower teeth show, too
        edge = at.gap_bottom - 8.0 * (mouth.teeth - 0.5)
        lower = smooth(
            [
                (-wide * 0.7, at.gap_bottom + 8),
                (-wide * 0.66, edge + 1),
                (0, edge + 2),
                (wide * 0.66, edge + 1),
                (wide * 0.7, at.gap_bottom + 8),
            ]
        )
        brush.fill(lower, 0xE6DFD6, opacity=parted)
    brush.stroke(smooth(at.upper_edge()[1:-1], closed=False), 0x14040A, 4.5, 0.55 * parted, blur=2.4)


def _shadows(brush: Brush, at: _Contour, mouth: Mouth) -> None:
    wide, low = at.half_width, at.lip_bottom
    brush.stroke(
        smooth([(-wide * 0.5, low + 6), (0, low + 10), (wide * 0.5, low + 6)], False), _SKIN_SHADOW, 6, 0.30, blur=4
    )
    groove = oval(0, at.lip_top - 11, 4.5, 7)
    brush.fill(groove, _SKIN_SHADOW, 0.13, blur=3)
    for side in (-1, 1):
        cheek = smooth(
            [(side * (wide + 8), at.corner - 12), (side * (wide + 12), at.corner), (side * (wide + 6), at.corner + 13)],
            False,
        )
        brush.stroke(cheek, _SKIN_SHADOW, 3.5, 0.10 + 0.12 * max(mouth.width, mouth.open), blur=3)


def _corners(brush: Brush, at: _Contour) -> None:
    for side in (-1, 1):
        tip = smooth(
            [(side * (at.half_width - 5), at.corner + 0.4), (side * (at.half_width + 1.5), at.corner - 1.2)], False
        )
        brush.stroke(tip, 0x7A3230, 2.0, 0.65, blur=0.7)
