"""The template clip of a source: numbered pictures or one video, decoded once to prove that every frame can be used."""

from dataclasses import dataclass
from pathlib import Path

from infra.errors import Rejected
from infra.media_video import decode_video, matrix_for, probe_video
from jobs.avatar_spec import FrameSize, Matrix
from jobs.timing import FPS
from workers.avatar.findings import Finding
from workers.avatar.pictures import even, read_picture
from workers.avatar.source_folder import SourceFolder

_PICTURES = (".jpg", ".jpeg", ".png")
_MIN_PX, _MAX_PX = 16, 8192  # as `FrameSize` allows


@dataclass(frozen=True)
class Clip:
    """Pictures in order, or one video and how its colours are to be read."""

    frames: int
    size: FrameSize
    """Of the frames that the pack will have; both sides even."""
    pictures: tuple[Path, ...] = ()
    numbered_from: int = 0
    """Number of the first picture."""
    video: Path | None = None
    matrix: Matrix = "bt709"
    findings: tuple[Finding, ...] = ()


def picture_clip(folder: SourceFolder, name: str) -> Clip:
    """Read the pictures `<n>.jpg`, `frame_<n>.jpg` or the same in PNG of a subfolder.

    Raises:
        Rejected: a picture is missing, cannot be decoded or is of another size than the first.
    """
    numbered = folder.numbered(name, *_PICTURES)
    if not numbered:
        raise Rejected(f"{folder.root} has no pictures <n>.jpg in {name}: the template clip is missing.")
    first = min(numbered)
    missing = [number for number in range(min(first, 1), first + len(numbered)) if number not in numbered]
    if missing:
        raise Rejected(f"The pictures in {name} must be numbered from 0 or 1 without a gap: {missing[0]} is missing.")
    if len({Path(relative).suffix.lower() == ".png" for relative in numbered.values()}) > 1:
        raise Rejected(f"The pictures in {name} must be all JPEG or all PNG: there are both.")
    shapes = {relative: read_picture(folder.root / relative, relative).shape for relative in numbered.values()}
    height, width, _ = shapes[numbered[first]]
    for relative, shape in shapes.items():
        if shape[:2] != (height, width):
            raise Rejected(
                f"{relative} measures {shape[1]}x{shape[0]} pixels, but {numbered[first]} {width}x{height}: all frames "
                "must be of one size."
            )
    size, findings = _even_size(width, height)
    return Clip(
        frames=len(numbered),
        size=size,
        pictures=tuple(folder.root / relative for relative in numbered.values()),
        numbered_from=first,
        findings=findings,
    )


def video_clip(path: Path, matrix: Matrix | None) -> Clip:
    """Read a template video.

    Args:
        path: the file.
        matrix: how its colours are to be read; None means by its tags, and by its height when it has none.

    Raises:
        Rejected: it cannot be decoded, or has another frame rate than 25.
    """
    facts = probe_video(path)
    if facts.fps != FPS:
        raise Rejected(
            f"{path.name} has {float(facts.fps):g} frames per second, a template must have {FPS}: convert the "
            "recording and detect its landmarks again."
        )
    size, findings = _even_size(facts.width, facts.height)
    if not facts.constant_rate:
        rate = Finding("warning", f"{path.name} has no constant frame rate; its frames are used one after the other.")
        findings = (*findings, rate)
    chosen = matrix or facts.matrix or matrix_for(facts.height)
    frames = sum(1 for _ in decode_video(path, chosen))
    if not frames:
        raise Rejected(f"{path.name} holds no picture that can be decoded: replace it.")
    return Clip(frames=frames, size=size, video=path, matrix=chosen, findings=findings)


def _even_size(width: int, height: int) -> tuple[FrameSize, tuple[Finding, ...]]:
    if min(width, height) < _MIN_PX or max(width, height) > _MAX_PX:
        raise Rejected(
            f"The template's frames measure {width}x{height} pixels: {_MIN_PX} to {_MAX_PX} a side can be used."
        )
    size = FrameSize(width=even(width), height=even(height))
    if (size.width, size.height) == (width, height):
        return size, ()
    sentence = f"The frames measure {width}x{height} and lose their last odd row or column: video needs even sizes."
    return size, (Finding("repair", sentence),)
