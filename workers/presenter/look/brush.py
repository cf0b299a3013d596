"""A small vocabulary for drawing with Skia: soft shapes, smooth curves, gradients."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.errors import Failed

try:
    import skia
except ImportError:
    raise Failed("Drawing the presenter needs skia-python, and libegl1 and libgl1: run `make train`.") from None

Point = tuple[float, float]
Shape = Any
"""A Skia path."""


@dataclass(frozen=True)
class Gradient:
    """Colours along a line, or from a centre outwards when `end` is a radius."""

    start: Point
    end: Point | float
    colours: tuple[int, ...]
    """RGB as 0xRRGGBB."""
    opacities: tuple[float, ...] = ()
    stops: tuple[float, ...] | None = None

    def shader(self) -> Any:
        """What Skia paints with."""
        opacities = self.opacities or (1.0,) * len(self.colours)
        colours = [_colour(rgb, opacity) for rgb, opacity in zip(self.colours, opacities, strict=True)]
        stops = list(self.stops) if self.stops else None
        if isinstance(self.end, tuple):
            return skia.GradientShader.MakeLinear([skia.Point(*self.start), skia.Point(*self.end)], colours, stops)
        return skia.GradientShader.MakeRadial(skia.Point(*self.start), self.end, colours, stops)


Colour = int | Gradient


class Brush:
    """Draws on a canvas in pixels; y points down, angles turn clockwise."""

    def __init__(self, canvas: Any):
        self._canvas = canvas

    def fill(self, shape: Shape, colour: Colour, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Fill a shape; `blur` is the sigma of a Gaussian in pixels."""
        self._canvas.drawPath(shape, _paint(colour, opacity, blur))

    def stroke(self, shape: Shape, colour: Colour, width: float, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Draw a line with round ends."""
        paint = _paint(colour, opacity, blur)
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(width)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
        paint.setStrokeJoin(skia.Paint.kRound_Join)
        self._canvas.drawPath(shape, paint)

    @contextmanager
    def inside(self, shape: Shape) -> Iterator[None]:
        """Draw only where the shape is."""
        with self._restored():
            self._canvas.clipPath(shape, skia.ClipOp.kIntersect, True)
            yield

    @contextmanager
    def moved(self, x: float, y: float, degrees: float = 0.0, about: Point = (0.0, 0.0)) -> Iterator[None]:
        """Draw in coordinates that are turned about a point and then shifted."""
        with self._restored():
            self._canvas.translate(x + about[0], y + about[1])
            self._canvas.rotate(degrees)
            self._canvas.translate(-about[0], -about[1])
            yield

    @contextmanager
    def _restored(self) -> Iterator[None]:
        self._canvas.save()
        try:
            yield
        finally:
            self._canvas.restore()


@contextmanager
def brush_on(pixels: npt.NDArray[np.uint8]) -> Iterator[Brush]:
    """Draw on an array, uint8 (H, W, 4), BGRA."""
    with skia.Surface(pixels, colorType=skia.kBGRA_8888_ColorType) as canvas:
        yield Brush(canvas)


def smooth(points: Sequence[Point], closed: bool = True, tension: float = 1.0) -> Shape:
    """A curve through points (Catmull-Rom); a point given twice in a row makes a corner."""
    count = len(points)
    builder = skia.PathBuilder()
    builder.moveTo(*points[0])
    for index in range(count if closed else count - 1):
        here, there = points[index], points[(index + 1) % count]
        before = points[index - 1] if closed or index else here
        after = points[(index + 2) % count] if closed or index + 2 < count else there
        leave = _ahead(here, before, there, tension / 6)
        arrive = _ahead(there, after, here, tension / 6)
        builder.cubicTo(*leave, *arrive, *there)
    if closed:
        builder.close()
    return builder.detach()


def straight(points: Sequence[Point], closed: bool = True) -> Shape:
    """A polygon, or a line through points."""
    builder = skia.PathBuilder()
    builder.moveTo(*points[0])
    for point in points[1:]:
        builder.lineTo(*point)
    if closed:
        builder.close()
    return builder.detach()


def oval(x: float, y: float, half_width: float, half_height: float | None = None) -> Shape:
    """An ellipse about a centre; a circle when it has one radius."""
    half_height = half_width if half_height is None else half_height
    builder = skia.PathBuilder()
    builder.addOval(skia.Rect.MakeLTRB(x - half_width, y - half_height, x + half_width, y + half_height))
    return builder.detach()


def block(x: float, y: float, width: float, height: float, radius: float = 0.0) -> Shape:
    """A rectangle with round corners."""
    builder = skia.PathBuilder()
    builder.addRRect(skia.RRect.MakeRectXY(skia.Rect.MakeXYWH(x, y, width, height), radius, radius))
    return builder.detach()


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The right half of an outline, top to bottom, closed by its mirror image at x = 0."""
    left = [(-x, y) for x, y in reversed(points) if x > 0]
    return [*points, *left]


def _ahead(point: Point, before: Point, after: Point, part: float) -> Point:
    return point[0] + (after[0] - before[0]) * part, point[1] + (after[1] - before[1]) * part


def _paint(colour: Colour, opacity: float, blur: float) -> Any:
    paint = skia.Paint(AntiAlias=True)
    if isinstance(colour, Gradient):
        paint.setShader(colour.shader())
        paint.setAlphaf(opacity)
    else:
        paint.setColor(_colour(colour, opacity))
    if blur:
        paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    return paint


def _colour(rgb: int, opacity: float) -> int:
    return int(skia.Color(rgb >> 16 & 255, rgb >> 8 & 255, rgb & 255, round(255 * min(max(opacity, 0.0), 1.0))))
