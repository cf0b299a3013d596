"""What is behind the presenter, and the presenter from the shoulders to the neck."""

from workers.presenter.look.brush import Brush, Gradient, block, mirrored, oval, smooth, straight
from workers.presenter.look.idle import HEAD_X_PX, HEIGHT_PX, WIDTH_PX, Pose

_WALL = Gradient((0, 0), (WIDTH_PX, HEIGHT_PX), (0x1B2440, 0x24365C, 0x2E5570), stops=(0.0, 0.55, 1.0))
_LAMP = Gradient((1030, 190), 430, (0xFFD6A0, 0xFFB98A, 0xFFB98A), (0.55, 0.18, 0.0), (0.0, 0.45, 1.0))
_COOL = Gradient((150, 560), 420, (0x58B7C9, 0x58B7C9), (0.28, 0.0))
_LIGHTS = (  # x, y, radius, opacity: lamps out of focus
    (138, 150, 58, 0.10),
    (246, 92, 26, 0.13),
    (312, 250, 40, 0.07),
    (92, 372, 84, 0.06),
    (1156, 118, 64, 0.13),
    (1060, 74, 28, 0.15),
    (1210, 320, 92, 0.08),
    (986, 300, 34, 0.10),
    (1120, 470, 50, 0.06),
)
_JACKET = Gradient((300, 500), (980, 720), (0x2F8C8A, 0x257575, 0x1A5A60), stops=(0.0, 0.5, 1.0))
_LAPEL = Gradient((500, 500), (780, 700), (0x3A9C97, 0x287C7B))
_BLOUSE = Gradient((560, 520), (720, 700), (0xFFF9F0, 0xE9DED2))
_NECK = Gradient((580, 430), (704, 470), (0xC98F6E, 0xDBA382, 0xC78B6A), stops=(0.0, 0.5, 1.0))


def draw_backdrop(brush: Brush) -> None:
    """A dim room with lamps out of focus."""
    room = block(0, 0, WIDTH_PX, HEIGHT_PX)
    for light in (_WALL, _LAMP, _COOL):
        brush.fill(room, light)
    brush.fill(block(0, 596, WIDTH_PX, 200), Gradient((0, 596), (0, 720), (0x101828, 0x101828), (0.0, 0.45)))
    for x, y, radius, opacity in _LIGHTS:
        brush.fill(oval(x, y, radius), 0xFFE6C4, opacity, blur=2.0)
        brush.stroke(oval(x, y, radius - 1), 0xFFF1DC, 1.6, opacity * 0.9, blur=1.2)


def draw_body(brush: Brush, pose: Pose) -> None:
    """Shoulders, neck and collar; they follow the head only a little."""
    with brush.moved(HEAD_X_PX + pose.x * 0.25, pose.breath):
        shoulders = mirrored(
            [(0, 470), (62, 486), (96, 520), (180, 548), (282, 582), (346, 640), (376, 730), (376, 800), (0, 800)]
        )
        brush.fill(smooth(shoulders), 0x060C18, 0.35, blur=20)
        with brush.moved(-HEAD_X_PX, 0):
            jacket = smooth([(x + HEAD_X_PX, y) for x, y in shoulders])
            brush.fill(jacket, _JACKET)
            with brush.inside(jacket):
                brush.fill(oval(930, 560, 130, 60), 0xBFF0E6, 0.20, blur=26)
                brush.fill(oval(330, 600, 90, 80), 0x07313A, 0.35, blur=30)
        _blouse(brush)
    with brush.moved(HEAD_X_PX + pose.x * 0.5, pose.breath * 0.5 + pose.y * 0.4):
        _neck(brush)
    with brush.moved(HEAD_X_PX + pose.x * 0.25, pose.breath):
        _collar(brush)


def _blouse(brush: Brush) -> None:
    with brush.moved(-HEAD_X_PX, 0):
        brush.fill(straight([(566, 500), (714, 500), (700, 600), (646, 730), (634, 730), (580, 600)]), _BLOUSE)


def _neck(brush: Brush) -> None:
    right = [(0, 380), (58, 384), (56, 450), (60, 486), (88, 512), (60, 556), (20, 600), (0, 606)]
    neck = smooth(mirrored(right))
    with brush.moved(-HEAD_X_PX, 0):
        placed = smooth([(x + HEAD_X_PX, y) for x, y in mirrored(right)])
        brush.fill(placed, _NECK)
    with brush.inside(neck):
        brush.fill(oval(0, 424, 104, 66), 0x7A4530, 0.62, blur=13)
        brush.stroke(smooth([(-26, 596), (-12, 560), (-34, 520)], closed=False), 0x9A6044, 5, 0.30, blur=4)
        brush.stroke(smooth([(26, 596), (12, 560), (34, 520)], closed=False), 0x9A6044, 5, 0.30, blur=4)
        brush.fill(oval(0, 590, 14, 10), 0x8A5038, 0.45, blur=5)


def _collar(brush: Brush) -> None:
    with brush.moved(-HEAD_X_PX, 0):
        for side in (-1, 1):

            def at(x: float, y: float, side: int = side) -> tuple[float, float]:
                return HEAD_X_PX + side * x, y

            flap = straight([at(70, 482), at(104, 516), at(60, 590), at(8, 604), at(40, 560)])
            brush.fill(flap, 0x000000, 0.22, blur=6)
            brush.fill(flap, _BLOUSE)
            brush.stroke(straight([at(8, 604), at(60, 590), at(104, 516)], closed=False), 0xCFC2B4, 1.4, 0.8)
            lapel = straight(
                [at(92, 500), at(168, 542), at(150, 606), at(176, 622), at(4, 800), at(2, 716), at(66, 600)]
            )
            brush.fill(lapel, 0x04161C, 0.35, blur=8)
            brush.fill(lapel, _LAPEL)
            edge = straight([at(168, 542), at(150, 606), at(176, 622), at(4, 800)], closed=False)
            brush.stroke(edge, 0x114A50, 2.0, 0.9)
            brush.stroke(straight([at(92, 500), at(66, 600), at(2, 716)], closed=False), 0x7FD0C4, 1.4, 0.35)
