"""Folders that become avatar packs: training folders, packages v2 and server layouts, read into one description."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from infra.errors import Rejected
from jobs.avatar_spec import AVATAR_JSON, Box, Matrix
from workers.avatar.findings import Finding, Reading, attempt, insist, read_each, some
from workers.avatar.pictures import cut_to, read_picture
from workers.avatar.sources.boxes import (
    SERVER_RECTANGLES,
    Boxes,
    landmark_boxes,
    numbering,
    package_boxes,
    server_boxes,
)
from workers.avatar.sources.clips import Clip, picture_clip, video_clip
from workers.avatar.sources.folder import SourceFolder
from workers.avatar.sources.geometry import box_findings, first_number
from workers.avatar.sources.package_digests import CONFIG, check_digests

PICTURES, SERVER_PICTURES, PARSING = "full_body_img", "frames", "parsing"
VIDEO = "full_body_video.mp4"

LayoutName = Literal["training-folder", "package-v2", "server"]


@dataclass(frozen=True)
class Source:
    """What a source folder holds, whatever its layout."""

    layout: LayoutName
    clip: Clip
    boxes: tuple[Box, ...]
    """One per template frame that is kept."""
    generator: Path | None = None
    audio_encoder: Path | None = None
    parsing: dict[int, Path] = field(default_factory=dict)
    """Parsing maps by template frame."""
    findings: tuple[Finding, ...] = ()


class Parts(NamedTuple):
    """What of a source could be read, be it whole or not."""

    clip: Clip | None
    boxes: Boxes
    """Empty when there is none."""
    parsing: dict[int, Path]
    generator: Path | None
    audio_encoder: Path | None


@dataclass(frozen=True)
class Layout:
    """Where a kind of source keeps what an avatar is made of."""

    name: LayoutName
    clip: Callable[[SourceFolder, Matrix | None], Reading[Clip | None]]
    boxes: Callable[[SourceFolder, Clip | None], Reading[Boxes]]
    parsing: bool = False
    generator: str = ""
    """Its file; empty when the layout has none."""
    audio_encoder: str = ""
    digests: bool = False
    """Whether it gives digests of its networks."""


def _package_clip(folder: SourceFolder, matrix: Matrix | None) -> Reading[Clip | None]:
    present = yield from attempt("video-file", folder.find, VIDEO)
    return (yield from video_clip(folder, VIDEO, matrix) if present else picture_clip(folder, PICTURES))


_PACKAGE = Layout(
    name="package-v2",
    clip=_package_clip,
    boxes=package_boxes,
    generator="models/generator.onnx",
    audio_encoder="models/audio_encoder.onnx",
    digests=True,
)
_SERVER = Layout(
    name="server",
    clip=lambda folder, _: picture_clip(folder, SERVER_PICTURES),
    boxes=server_boxes,
    generator="checkpoint/model_best.onnx",
)
_TRAINING = Layout(
    name="training-folder",
    clip=lambda folder, _: picture_clip(folder, PICTURES),
    boxes=landmark_boxes,
    parsing=True,
)
# The first of these that lies in a folder tells its layout; a server may keep the video that its frames come from.
_SIGNS: dict[str, Layout] = {
    CONFIG: _PACKAGE,
    "package_info.json": _PACKAGE,
    SERVER_RECTANGLES: _SERVER,
    VIDEO: _PACKAGE,
    PICTURES: _TRAINING,
}


def read_source(path: Path, matrix: Matrix | None = None) -> Source:
    """Read a source folder; every template frame is decoded once.

    Args:
        path: the folder.
        matrix: how the colours of a template video are to be read; None means by its tags, and by its height when it
            has none.

    Raises:
        Rejected: the layout is unknown, or something in it cannot be used; the message names it.
    """
    folder = SourceFolder(path)
    layout = recognise(folder)
    parts, findings = insist(examine_source(folder, layout, matrix))
    assert parts.clip is not None  # noqa: S101 - without a clip there is an error
    return Source(layout=layout.name, findings=findings, **(parts._asdict() | {"clip": parts.clip}))


def recognise(folder: SourceFolder) -> Layout:
    """Tell the layout of a folder by what lies in it.

    Raises:
        Rejected: it is none that can be imported.
    """
    for sign, layout in _SIGNS.items():
        if folder.find(sign):
            return layout
    hint = " It is an avatar pack already." if folder.find(AVATAR_JSON) else ""
    raise Rejected(
        f"{folder.root} is no avatar that can be imported: expected is a training folder ({PICTURES}, landmarks), a "
        f"package v2 ({CONFIG}, {VIDEO}) or a server layout ({SERVER_PICTURES}, {SERVER_RECTANGLES}).{hint}"
    )


def examine_source(folder: SourceFolder, layout: Layout, matrix: Matrix | None = None) -> Reading[Parts]:
    """Read all that can be read of a source folder, and say what is wrong with it."""
    clip = yield from layout.clip(folder, matrix)
    boxes = yield from layout.boxes(folder, clip)
    yield from box_findings(boxes, clip.size if clip else None)
    parsing = (yield from _parsing(folder, clip)) if layout.parsing and clip else {}
    networks = {}
    for name, file in (("generator", layout.generator), ("audio_encoder", layout.audio_encoder)):
        path = (yield from attempt("network-file", folder.find, file)) if file else None
        if path:
            networks[name] = path
    if layout.digests:
        yield from check_digests(folder, networks)
    return Parts(clip, boxes, parsing, networks.get("generator"), networks.get("audio_encoder"))


def _parsing(folder: SourceFolder, clip: Clip) -> Reading[dict[int, Path]]:
    files = yield from folder.numbered("parsing-file", PARSING, ".png")
    first = first_number(files, clip.frames, default=clip.numbered_from)
    if files:
        yield from numbering(clip, first, "parsing maps")
    maps = {number - first: name for number, name in files.items() if number - first < clip.frames}
    yield from read_each("parsing-file", maps, lambda frame: _prove_map(folder, maps[frame], clip))
    missing = [frame for frame in range(clip.frames) if frame not in maps]
    if maps and missing:
        sentence = (
            f"{len(missing)} of {clip.frames} template frames have no parsing map ({some(missing)}): their whole crop "
            f"box is drawn anew; make those maps, or delete the folder {PARSING} so that all frames are alike."
        )
        yield Finding("warning", "parsing-missing", sentence)
    return {frame: folder.root / name for frame, name in maps.items()}


def _prove_map(folder: SourceFolder, name: str, clip: Clip) -> None:
    cut_to(read_picture(folder.file(name), name), clip.size, name)
