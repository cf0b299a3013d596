"""The template clip of a source: numbered pictures or one video, decoded once to prove that every frame can be used."""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infra.media_facts import VideoFacts
from infra.media_video import decode_video, matrix_for, probe_video
from jobs.avatar_spec import FrameSize, Matrix
from jobs.timing import FPS
from workers.avatar.findings import Finding, Reading, attempt, read_each, runs, some
from workers.avatar.pictures import even, read_picture
from workers.avatar.sources.folder import SourceFolder
from workers.render.crop import Picture

PICTURES = (".jpg", ".jpeg", ".png")
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
    prints: tuple[int, ...] = ()
    """Fingerprints of the decoded frames, in order."""


class _Glance(NamedTuple):
    width: int
    height: int
    print: int


def fingerprint(picture: Picture) -> int:
    """A number that is the same for equal pictures, and different for different ones but once in four billion."""
    return zlib.crc32(picture.data)


def picture_clip(folder: SourceFolder, name: str) -> Reading[Clip | None]:
    """Read the pictures `<n>.jpg`, `frame_<n>.jpg` or the same in PNG of a subfolder.

    Returns:
        None when no picture of a usable size is there.
    """
    numbered = yield from folder.numbered("picture-file", name, *PICTURES)
    if not numbered:
        sentence = f"{folder.root} has no pictures <n>.jpg in {name}: put the frames of the template clip there."
        yield Finding("error", "missing-pictures", sentence)
        return None
    first, last = min(numbered), max(numbered)
    missing = [number for number in range(min(first, 1), last + 1) if number not in numbered]
    if missing:
        sentence = (
            f"The pictures in {name} must be numbered from 0 or 1 without a gap: {some(runs(missing))} "
            f"{'is' if len(missing) == 1 else 'are'} missing, so extract the frames of the recording again, or delete "
            "those that are none of it."
        )
        yield Finding("error", "missing-pictures", sentence)
    if len({Path(relative).suffix.lower() == ".png" for relative in numbered.values()}) > 1:
        sentence = (
            f"The pictures in {name} must be all JPEG or all PNG, there are both: extract them again as one kind."
        )
        yield Finding("error", "picture-format", sentence)
    glances = yield from read_each("picture-file", numbered, lambda number: _glance(folder, numbered[number]))
    if not glances:
        return None
    (width, height), _ = Counter((glance.width, glance.height) for glance in glances.values()).most_common(1)[0]
    yield from _other_sizes(numbered, glances, width, height)
    size = yield from _even_size(width, height)
    if size is None:
        return None
    return Clip(
        frames=len(numbered) if len(missing) > len(numbered) else last - first + 1,  # a number far off is no frame's
        size=size,
        pictures=tuple(folder.root / relative for relative in numbered.values()),
        numbered_from=first,
        prints=tuple(glance.print for glance in glances.values()),
    )


def _glance(folder: SourceFolder, name: str) -> _Glance:
    picture = read_picture(folder.file(name), name)
    height, width, _ = picture.shape
    return _Glance(width, height, fingerprint(picture))


def _other_sizes(numbered: dict[int, str], glances: dict[int, _Glance], width: int, height: int) -> Iterator[Finding]:
    others = [number for number, glance in glances.items() if (glance.width, glance.height) != (width, height)]
    if others:
        odd = glances[others[0]]
        more = f" (and {len(others) - 1} more pictures are of another size)" if len(others) > 1 else ""
        sentence = (
            f"{numbered[others[0]]} measures {odd.width}x{odd.height} pixels, but most {width}x{height}{more}: all "
            "frames must be of one size, so extract them again from one recording."
        )
        yield Finding("error", "picture-size", sentence)


def video_clip(folder: SourceFolder, name: str, matrix: Matrix | None) -> Reading[Clip | None]:
    """Read a template video.

    Args:
        folder: the source.
        name: the video, which is there.
        matrix: how its colours are to be read; None means by its tags, and by its height when it has none.

    Returns:
        None when it is no video of a usable size.
    """
    path = yield from attempt("video-file", folder.file, name)
    facts = (yield from attempt("video-file", probe_video, path)) if path else None
    size = (yield from _even_size(facts.width, facts.height)) if facts else None
    if path is None or facts is None or size is None:
        return None
    yield from _rate(facts, name)
    chosen = matrix or facts.matrix or matrix_for(facts.height)
    if matrix is None and facts.matrix is None:
        sentence = (
            f"{name} has no colour tag and is read as {chosen}, by its height: import it with --matrix if it is not."
        )
        yield Finding("note", "colour-untagged", sentence)
    prints = yield from attempt("video-file", _prints, path, chosen)
    if prints is None:  # the number of frames that the file claims to have still tells whether its boxes fit
        return Clip(frames=facts.frames, size=size, video=path, matrix=chosen)
    if len(prints) < facts.frames:
        sentence = (
            f"Of the {facts.frames} pictures in {name} only {len(prints)} can be decoded: replace the file if it "
            "should have all of them."
        )
        yield Finding("warning" if prints else "error", "video-file", sentence)
    return Clip(frames=len(prints), size=size, video=path, matrix=chosen, prints=prints)


def _prints(path: Path, matrix: Matrix) -> tuple[int, ...]:
    return tuple(fingerprint(picture) for picture in decode_video(path, matrix))


def _rate(facts: VideoFacts, name: str) -> Iterator[Finding]:
    again = f"convert it with ffmpeg's filter fps={FPS} and detect its landmarks again"
    if facts.fps != FPS:
        varying = "" if facts.constant_rate else " on average, and its rate varies"
        sentence = f"{name} has {float(facts.fps):g} frames per second{varying}, a template must have {FPS}: {again}."
        yield Finding("error", "frame-rate", sentence)
    elif not facts.constant_rate:
        sentence = (
            f"{name} has no constant frame rate: its frames are shown one every {1000 // FPS} ms, so its motion will "
            f"stutter; {again}."
        )
        yield Finding("warning", "variable-frame-rate", sentence)


def _even_size(width: int, height: int) -> Reading[FrameSize | None]:
    if min(width, height) < _MIN_PX or max(width, height) > _MAX_PX:
        sentence = (
            f"The template's frames measure {width}x{height} pixels: {_MIN_PX} to {_MAX_PX} a side can be used, so "
            "scale the recording and detect its landmarks again."
        )
        yield Finding("error", "frame-size", sentence)
        return None
    size = FrameSize(width=even(width), height=even(height))
    if (size.width, size.height) != (width, height):
        sentence = (
            f"The frames measure {width}x{height} and lose their last odd row or column, since video needs even sizes: "
            "nothing need be done."
        )
        yield Finding("repair", "odd-size", sentence, f"{width}x{height} to {size.width}x{size.height}")
    return size
