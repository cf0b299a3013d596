"""Folders that become avatar packs: training folders, packages v2 and server layouts, read into one description."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from infra.errors import Rejected
from jobs.avatar_spec import AVATAR_JSON, Box, Matrix
from workers.avatar.boxes import (
    box_from_landmarks,
    box_from_rectangle,
    check_inside,
    common_length,
    fill_boxes,
    first_number,
)
from workers.avatar.clips import Clip, picture_clip, video_clip
from workers.avatar.findings import Finding, some
from workers.avatar.package_digests import CONFIG, check_digests
from workers.avatar.pictures import cut_to, read_picture
from workers.avatar.source_folder import SourceFolder

_PICTURES = "full_body_img"
_VIDEO = "full_body_video.mp4"
_RECTANGLES = "cache/crop_rectangles.json"
_SERVER_RECTANGLES = "crop_rects.json"


@dataclass(frozen=True)
class Source:
    """What a source folder holds, whatever its layout."""

    layout: Literal["training-folder", "package-v2", "server"]
    clip: Clip
    boxes: tuple[Box, ...]
    """One per template frame that is kept."""
    generator: Path | None = None
    audio_encoder: Path | None = None
    parsing: dict[int, Path] = field(default_factory=dict)
    """Parsing maps by template frame."""
    findings: tuple[Finding, ...] = ()


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
    source = _reader(folder)(folder, matrix)
    notes = check_inside(source.boxes, source.clip.size)
    return replace(source, findings=(*source.clip.findings, *source.findings, *notes))


def _reader(folder: SourceFolder) -> Callable[[SourceFolder, Matrix | None], Source]:
    signs = {
        _package_v2: (CONFIG, "package_info.json", _VIDEO),
        _server: (_SERVER_RECTANGLES,),
        _training_folder: (_PICTURES,),
    }
    for reader, names in signs.items():
        if any(folder.find(name) for name in names):
            return reader
    hint = " It is an avatar pack already." if folder.find(AVATAR_JSON) else ""
    raise Rejected(
        f"{folder.root} is no avatar that can be imported: expected is a training folder ({_PICTURES}, landmarks), a "
        f"package v2 ({CONFIG}, {_VIDEO}) or a server layout (frames, {_SERVER_RECTANGLES}).{hint}"
    )


def _training_folder(folder: SourceFolder, _: Matrix | None) -> Source:
    clip = picture_clip(folder, _PICTURES)
    boxes, findings = _landmark_boxes(folder, clip)
    parsing, notes = _parsing(folder, clip)
    return Source("training-folder", clip, boxes, parsing=parsing, findings=(*findings, *notes))


def _server(folder: SourceFolder, _: Matrix | None) -> Source:
    clip = picture_clip(folder, "frames")
    listed = folder.json(_SERVER_RECTANGLES)
    if not isinstance(listed, list):
        raise Rejected(f"{_SERVER_RECTANGLES} must be a list with one box [x0, y0, x1, y1] per frame.")
    entry = f"of {_SERVER_RECTANGLES}"
    boxes = [box_from_rectangle(value, f"Entry {index} {entry}") for index, value in enumerate(listed)]
    kept, findings = common_length(clip.frames, len(boxes), _SERVER_RECTANGLES)
    generator = folder.find("checkpoint/model_best.onnx")
    return Source("server", clip, tuple(boxes[:kept]), generator=generator, findings=tuple(findings))


def _package_v2(folder: SourceFolder, matrix: Matrix | None) -> Source:
    video = folder.find(_VIDEO)
    clip = video_clip(video, matrix) if video else picture_clip(folder, _PICTURES)
    rectangles = _rectangles(folder)
    if folder.numbered("landmarks", ".lms"):
        boxes, findings = _landmark_boxes(folder, clip)
        other = [frame for frame, box in rectangles.items() if frame < len(boxes) and boxes[frame] != box]
        if other:
            sentence = f"{_RECTANGLES} and the landmarks differ at template frames {some(other)}; the landmarks count."
            findings.append(Finding("warning", sentence))
    else:
        kept, cuts = common_length(clip.frames, 1 + max(rectangles, default=-1), _RECTANGLES)
        boxes, repairs = fill_boxes(rectangles, kept, "crop box")
        findings = cuts + repairs
    generator, audio_encoder = folder.find("models/generator.onnx"), folder.find("models/audio_encoder.onnx")
    findings += check_digests(folder, {"generator": generator, "audio_encoder": audio_encoder})
    return Source("package-v2", clip, boxes, generator, audio_encoder, findings=tuple(findings))


def _landmark_boxes(folder: SourceFolder, clip: Clip) -> tuple[tuple[Box, ...], list[Finding]]:
    """Boxes of the clip's frames; pictures without landmarks are those in which no face was found."""
    files = folder.numbered("landmarks", ".lms")
    first = first_number(files, clip.frames, default=0)
    found = {number - first: box_from_landmarks(folder.text(name), name) for number, name in files.items()}
    listed = 1 + max(found, default=-1)
    kept, findings = clip.frames, _numbering(clip, first, "landmarks")
    if clip.video or listed > clip.frames:
        kept, cuts = common_length(clip.frames, listed, "landmarks")
        findings += cuts
    boxes, repairs = fill_boxes(found, kept, "landmarks")
    return boxes, findings + repairs


def _rectangles(folder: SourceFolder) -> dict[int, Box]:
    """Boxes of `{"0": {"rect": [x0, y0, x1, y1]}, …}` by template frame; none when there is no such file."""
    if folder.find(_RECTANGLES) is None:
        return {}
    document = folder.json(_RECTANGLES)
    if not isinstance(document, dict) or not all(key.isdecimal() and len(key) < 10 for key in document):
        raise Rejected(f"{_RECTANGLES} must map frame numbers to boxes.")
    rectangles = {key: value.get("rect") if isinstance(value, dict) else value for key, value in document.items()}
    return {int(key): box_from_rectangle(value, f"Entry {key} of {_RECTANGLES}") for key, value in rectangles.items()}


def _parsing(folder: SourceFolder, clip: Clip) -> tuple[dict[int, Path], list[Finding]]:
    files = folder.numbered("parsing", ".png")
    first = first_number(files, clip.frames, default=clip.numbered_from)
    maps = {number - first: name for number, name in files.items() if number - first < clip.frames}
    for name in maps.values():
        cut_to(read_picture(folder.root / name, name), clip.size, name)
    missing = [frame for frame in range(clip.frames) if frame not in maps]
    findings = _numbering(clip, first, "parsing maps")
    if maps and missing:
        sentence = f"Template frames {some(missing)} have no parsing map: their whole crop box is drawn anew."
        findings.append(Finding("warning", sentence))
    return {frame: folder.root / name for frame, name in maps.items()}, findings


def _numbering(clip: Clip, first: int, what: str) -> list[Finding]:
    if not clip.pictures or clip.numbered_from == first:
        return []
    sentence = f"Pictures are numbered from {clip.numbered_from}, {what} from {first}: they are matched in order."
    return [Finding("repair", sentence)]
