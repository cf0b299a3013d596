"""The presenter's head without its mouth. Coordinates are pixels from the point between the eyes.

What a falling jaw moves lies below the corners of the mouth and inside the cheeks: nothing else of the head knows how
far the mouth is open.
"""

from workers.presenter.look.brush import Brush, Gradient, Shape, mirrored, oval, smooth
from workers.presenter.look.idle import Pose

JAW_DROP_PX = 15.0
"""How far the chin falls when the mouth is wide open."""

_HAIR_BACK = Gradient((-150, -120), (150, 240), (0x2A1A18, 0x3A2422, 0x1E1213), stops=(0.0, 0.5, 1.0))
_HAIR = Gradient((-140, -180), (150, 60), (0x54332B, 0x3C2421, 0x281719), stops=(0.0, 0.5, 1.0))
_EAR = Gradient((-134, 10), (134, 10), (0xBF8263, 0xC98C6B))
_IRIS_COLOURS = (0x9A6A3C, 0x6B4426, 0x2C1A10)
_LINE = 0x2A1614


def draw_hair_behind(brush: Brush, pose: Pose) -> None:
    """The hair that hangs behind face and neck."""
    turned = -pose.yaw * 0.4
    right = [(0, -190), (86, -176), (144, -110), (158, -10), (152, 90), (160, 176), (136, 236), (60, 250), (0, 250)]
    outline = smooth([(x + turned, y) for x, y in mirrored(right)])
    brush.fill(outline, 0x05080F, 0.35, blur=14)
    brush.fill(outline, _HAIR_BACK)
    with brush.inside(outline):
        for side in (-1, 1):
            for x, opacity in ((146, 0.35), (134, 0.22), (124, 0.16)):
                lock = smooth(
                    [(side * (x - 16), -60), (side * x, 60), (side * (x + 4), 160), (side * (x - 18), 246)], False
                )
                brush.stroke(lock, 0x7A5144, 4, opacity, blur=2.5)


def draw_face(brush: Brush, pose: Pose, jaw: float) -> None:
    """Ears, skin, eyes and nose.

    Args:
        brush: at the head's place and angle.
        pose: of the template frame.
        jaw: how far the mouth is open, from 0 to 1.
    """
    _ears(brush, pose)
    face = _outline(jaw)
    skin = Gradient((-26 + pose.yaw * 2, 8), 235, (0xF6CDA9, 0xE7B08A, 0xCB8B68), stops=(0.0, 0.58, 1.0))
    brush.fill(face, skin)
    with brush.inside(face):
        _light(brush, pose, jaw)
    for side in (-1, 1):
        _eye(brush, pose, side)
        _eyebrow(brush, pose, side)
    _nose(brush, pose)


def draw_hair_before(brush: Brush, pose: Pose) -> None:
    """The fringe, parted at the presenter's left."""
    turned = -pose.yaw * 0.25
    with brush.moved(turned, 0):
        left = smooth(
            [
                (34, -196),
                (-60, -190),
                (-130, -130),
                (-152, -30),
                (-148, 70),
                (-142, 70),
                (-126, 20),
                (-116, -34),
                (-92, -76),
                (-40, -98),
                (20, -122),
                (44, -150),
                (44, -150),
            ]
        )
        right = smooth(
            [
                (26, -196),
                (90, -182),
                (140, -118),
                (156, -26),
                (148, 74),
                (141, 72),
                (128, 10),
                (116, -40),
                (90, -84),
                (60, -118),
                (40, -152),
                (40, -152),
            ]
        )
        for strand in (right, left):
            brush.fill(strand, 0x120A0A, 0.30, blur=5)
            brush.fill(strand, _HAIR)
        with brush.inside(left):
            for start, bend, end, opacity in (
                ((20, -176), (-70, -160), (-128, -60), 0.42),
                ((24, -168), (-50, -140), (-112, -70), 0.30),
                ((28, -160), (-30, -126), (-92, -84), 0.26),
                ((10, -186), (-96, -164), (-140, -40), 0.24),
            ):
                brush.stroke(smooth([start, bend, end], closed=False), 0x9C6B55, 3.4, opacity, blur=1.8)
        with brush.inside(right):
            for start, bend, end, opacity in (
                ((52, -172), (108, -130), (136, -40), 0.36),
                ((48, -160), (92, -112), (122, -36), 0.26),
                ((58, -182), (124, -134), (148, -20), 0.20),
            ):
                brush.stroke(smooth([start, bend, end], closed=False), 0x9C6B55, 3.2, opacity, blur=1.8)


def _outline(jaw: float) -> Shape:
    drop = JAW_DROP_PX * jaw
    right = [
        (0, -150),
        (70, -138),
        (116, -80),
        (124, -8),
        (117, 52),
        (104, 98),
        (97.5, 113),
        (87, 130),
        (67, 150 + drop * 0.45),
        (36, 169.5 + drop * 0.9),
        (0, 176 + drop),
    ]
    return smooth(mirrored(right))


def _light(brush: Brush, pose: Pose, jaw: float) -> None:
    brush.fill(oval(128, 60, 34, 150), 0xA4623F, 0.30, blur=17)
    brush.fill(oval(-134, 60, 28, 150), 0xA4623F, 0.22, blur=17)
    brush.fill(oval(pose.yaw, -130, 130, 52), 0x8E5237, 0.38, blur=15)
    for side in (-1, 1):
        brush.fill(oval(side * 74 + pose.yaw, 66 + pose.pitch, 27, 20), 0xE0705E, 0.24, blur=13)
    brush.fill(oval(-52 + pose.yaw, 40 + pose.pitch, 20, 10), 0xFFF0DC, 0.34, blur=8)
    brush.fill(oval(pose.yaw, -70, 52, 24), 0xFFF0DC, 0.24, blur=14)
    brush.fill(oval(pose.yaw * 0.6, 157 + JAW_DROP_PX * jaw, 24, 9), 0xFFEBD3, 0.36, blur=6)


def _ears(brush: Brush, pose: Pose) -> None:
    for side in (-1, 1):
        x, y = side * 124 - pose.yaw * 0.5, 22 + pose.pitch * 0.3
        brush.fill(oval(x, y, 14, 30), _EAR)
        brush.fill(oval(x + side * 1, y + 2, 7, 19), 0x8F543C, 0.45, blur=3)


def _eye(brush: Brush, pose: Pose, side: int) -> None:
    x, y = side * 52 + pose.yaw, pose.pitch
    with brush.moved(x, y):
        brush.fill(oval(0, -4, 34, 21), 0x9C5B40, 0.24, blur=8)
        inner, outer = (-side * 25.5, 3.0), (side * 27.0, -1.5)
        bottom = [(-side * 14.0, 9.0), (side * 1.0, 10.0), (side * 16.0, 7.0)]
        lid = [(x, y + (low - y) * pose.blink) for (x, low), y in zip(bottom, (-12.5, -15.5, -12.0), strict=True)]
        top, below = [inner, *lid, outer], bottom[::-1]
        ball = smooth([inner, *top, outer, *below])
        brush.fill(ball, Gradient((0, -16), (0, 12), (0xCFCBCB, 0xFFFFFF), stops=(0.0, 0.6)))
        with brush.inside(ball):
            at = pose.glance + pose.yaw * 0.3
            brush.fill(oval(at, -2, 13.6), Gradient((at, 4), 15, _IRIS_COLOURS, stops=(0.0, 0.62, 1.0)))
            brush.stroke(oval(at, -2, 13.2), 0x1E110B, 1.4, 0.7)
            brush.fill(oval(at, -2, 6.3), 0x0C0808)
            brush.fill(oval(at + 4.6, -7.4, 3.5), 0xFFFFFF, 0.95)
            brush.fill(oval(at - 4.4, 3.4, 2.0), 0xFFFFFF, 0.45)
            brush.stroke(smooth([(px, py + 2.5) for px, py in top], closed=False), 0x5A2F22, 7, 0.35, blur=3)
        lashes = smooth([*top[:-1], (side * 29.0, -3.5 + 3.0 * pose.blink)], closed=False)
        brush.stroke(lashes, _LINE, 4.0)
        brush.stroke(smooth([inner, *bottom, outer], closed=False), 0x9A5F48, 1.3, 0.6)
        fold = [(-side * 20.0, -13.0 + 4 * pose.blink), (side * 2.0, -23.0 + 7 * pose.blink), (side * 26.0, -12.0)]
        brush.stroke(smooth(fold, closed=False), 0x9A5F48, 1.8, 0.55)


def _eyebrow(brush: Brush, pose: Pose, side: int) -> None:
    with brush.moved(side * 54 + pose.yaw * 1.05, -36 - pose.brow + pose.pitch * 0.8):
        upper = [(-side * 30.0, 3.0), (-side * 10.0, -6.5), (side * 12.0, -8.5), (side * 35.0, 4.5)]
        lower = [(side * 35.0, 4.5), (side * 12.0, -2.5), (-side * 10.0, 0.5), (-side * 26.0, 6.5), (-side * 30.0, 3.0)]
        brush.fill(smooth(upper + lower), 0x3A2320, 0.92, blur=0.8)


def _nose(brush: Brush, pose: Pose) -> None:
    with brush.moved(pose.yaw * 1.4, pose.pitch * 1.1):
        brush.stroke(smooth([(9, -6), (14, 22), (18, 46)], closed=False), 0xA9683F, 8, 0.26, blur=5)
        brush.stroke(smooth([(-3, -16), (-3, 16), (-2, 38)], closed=False), 0xFFF1DE, 7, 0.34, blur=4)
        brush.fill(oval(-2, 45, 9, 7), 0xFFF4E4, 0.55, blur=4)
        brush.fill(oval(0, 61, 22, 6), 0x9A5638, 0.30, blur=4)
        for side in (-1, 1):
            brush.fill(oval(side * 9, 58, 5.0, 2.3), 0x6A3324, 0.75, blur=1.0)
            wing = smooth([(side * 17, 44), (side * 21, 52), (side * 18, 59), (side * 12, 60)], closed=False)
            brush.stroke(wing, 0xA0603F, 2.2, 0.60, blur=0.6)
