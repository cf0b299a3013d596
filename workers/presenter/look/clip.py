"""The template clip: the presenter at rest, drawn, encoded, and read back as workers will read it."""

from pathlib import Path

from infra.media_planes import to_planes
from infra.media_video import SegmentEncoder, VideoFormat, decode_video
from workers.presenter.look.drawing import draw_frame
from workers.presenter.look.idle import HEIGHT_PX, TEMPLATE_FRAMES, WIDTH_PX
from workers.render.crop import Picture

_FORMAT = VideoFormat(WIDTH_PX, HEIGHT_PX, crf=14, preset="slow")
MATRIX = _FORMAT.matrix


def write_clip(path: Path) -> None:
    """Draw and encode all template frames; one thread, since the number of threads changes the bytes."""
    with SegmentEncoder(path, _FORMAT, threads=1) as encoder:
        for frame in range(TEMPLATE_FRAMES):
            encoder.write(to_planes(draw_frame(frame), MATRIX))


def read_clip(path: Path) -> list[Picture]:
    """All template frames, uint8 (720, 1280, 3), BGR, with what encoding did to them."""
    return list(decode_video(path, MATRIX))
