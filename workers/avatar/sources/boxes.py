"""The crop boxes that a source gives: landmarks, or rectangles in one of two shapes of JSON."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from infra.errors import Rejected
from jobs.avatar_spec import Box
from workers.avatar.findings import Code, Finding, Reading, attempt, read_each, some
from workers.avatar.sources.clips import Clip
from workers.avatar.sources.folder import SourceFolder
from workers.avatar.sources.geometry import (
    box_from_landmarks,
    box_from_rectangle,
    common_length,
    fill_boxes,
    first_number,
    missing_boxes,
)

RECTANGLES: Final = "cache/crop_rectangles.json"
SERVER_RECTANGLES: Final = "crop_rects.json"
LANDMARKS: Final = "landmarks"

Boxes = tuple[Box, ...]


class _Listed(NamedTuple):
    """What a source says of boxes, by template frame."""

    boxes: Mapping[int, Box]
    frames: frozenset[int]
    """Frames that have an entry, be it usable or not: what is broken is not missing."""
    length: int


def landmark_boxes(folder: SourceFolder, clip: Clip | None) -> Reading[Boxes]:
    """Boxes of the clip's frames; pictures without landmarks are those in which no face was found."""
    listed = yield from _landmarks(folder, clip)
    return (yield from _fitted_landmarks(listed, clip))


def package_boxes(folder: SourceFolder, clip: Clip | None) -> Reading[Boxes]:
    """Boxes by the landmarks of a package where it has any, else by its rectangles."""
    listed = yield from _landmarks(folder, clip)
    rectangles = yield from _rectangles(folder, clip)
    if not listed.frames:
        return (yield from _fitted(rectangles, clip, RECTANGLES)) if rectangles else ()
    boxes = yield from _fitted_landmarks(listed, clip)
    if rectangles:
        yield from _conflict(listed, rectangles)
    return boxes


def server_boxes(folder: SourceFolder, clip: Clip | None) -> Reading[Boxes]:
    """Boxes of a list `[[x0, y0, x1, y1], …]`."""
    values = yield from attempt("box-file", _server_values, folder)
    if values is None:
        return ()
    listed = yield from _entries(values, 0, SERVER_RECTANGLES)
    return (yield from _fitted(listed, clip, SERVER_RECTANGLES))


def numbering(clip: Clip, first: int, what: str) -> Iterator[Finding]:
    """Say when files are numbered from another number than the clip's frames; packs keep what `what` calls them."""
    if clip.numbered_from != first:
        frames = "The video's frames" if clip.video else "Pictures"
        sentence = (
            f"{frames} are numbered from {clip.numbered_from}, {what} from {first}: they are matched in order; nothing "
            "need be done."
        )
        yield Finding("repair", "index-base", sentence, f"frames from {clip.numbered_from}, {what} from {first}")


def _landmarks(folder: SourceFolder, clip: Clip | None) -> Reading[_Listed]:
    files = yield from folder.numbered("landmark-file", LANDMARKS, ".lms")
    first = first_number(files, clip.frames if clip else None, default=0)
    boxes = yield from read_each(
        "landmark-file", files, lambda number: box_from_landmarks(folder.text(files[number]), files[number])
    )
    if clip and files:
        yield from numbering(clip, first, LANDMARKS)
        if (
            clip.numbered_from == 1 and 0 not in files and clip.frames not in files
        ):  # is the first missing, or the last?
            sentence = (
                "Pictures are numbered from 1, and landmarks from 0 or from 1, which nobody can tell since those "
                "of both ends are missing: 0 is assumed; see in `lipsync avatar preview` whether the boxes fit, and "
                "detect the landmarks of the first or last picture if they do not."
            )
            yield Finding("warning", "index-base", sentence)
    return _listed(boxes, files, first)


def _fitted_landmarks(listed: _Listed, clip: Clip | None) -> Reading[Boxes]:
    kept = clip.frames if clip else listed.length
    if clip and listed.frames and (clip.video or listed.length > clip.frames):
        kept = yield from common_length(clip.frames, listed.length, f"the folder {LANDMARKS}")
    return (yield from _filled(listed, kept, "missing-landmarks", "landmarks"))


def _conflict(landmarks: _Listed, rectangles: _Listed) -> Iterator[Finding]:
    both = sorted(landmarks.boxes.keys() & rectangles.boxes.keys())
    differ = [frame for frame in both if landmarks.boxes[frame] != rectangles.boxes[frame]]
    if differ:
        sentence = (
            f"{RECTANGLES} and the landmarks differ at {len(differ)} of {len(both)} template frames ({some(differ)}): "
            f"the landmarks count; delete {RECTANGLES}, or the landmarks if those are the older ones."
        )
        yield Finding("warning", "box-conflict", sentence)


def _rectangles(folder: SourceFolder, clip: Clip | None) -> Reading[_Listed | None]:
    """Boxes of `{"0": {"rect": [x0, y0, x1, y1]}, …}`; None when the file is refused."""
    values = yield from attempt("box-file", _package_values, folder)
    if values is None:
        return None
    first = first_number(values, clip.frames if clip else None, default=0)
    if clip and values:
        yield from numbering(clip, first, f"the boxes of {RECTANGLES}")
    return (yield from _entries(values, first, RECTANGLES))


def _package_values(folder: SourceFolder) -> dict[int, object]:
    if folder.find(RECTANGLES) is None:
        return {}
    document = folder.json(RECTANGLES)
    if not isinstance(document, dict) or not all(key.isdecimal() and len(key) < 7 for key in document):
        raise Rejected(
            f"{RECTANGLES} must map frame numbers to boxes: make it again, or delete it if there are landmarks."
        )
    return {int(key): value.get("rect") if isinstance(value, dict) else value for key, value in document.items()}


def _server_values(folder: SourceFolder) -> dict[int, object]:
    listed = folder.json(SERVER_RECTANGLES)
    if not isinstance(listed, list):
        raise Rejected(f"{SERVER_RECTANGLES} must be a list with one box [x0, y0, x1, y1] per frame: make it again.")
    return dict(enumerate(listed))


def _entries(values: Mapping[int, object], first: int, file: str) -> Reading[_Listed]:
    names = {number: f"Entry {number} of {file}" for number in values}
    boxes = yield from read_each("box-file", names, lambda number: box_from_rectangle(values[number], names[number]))
    return _listed(boxes, values, first)


def _listed(boxes: Mapping[int, Box], numbers: Iterable[int], first: int) -> _Listed:
    frames = frozenset(number - first for number in numbers)
    return _Listed({number - first: box for number, box in boxes.items()}, frames, 1 + max(frames, default=-1))


def _fitted(listed: _Listed, clip: Clip | None, what: str) -> Reading[Boxes]:
    """As many boxes as the clip has frames, both beginning at the same one."""
    kept = clip.frames if clip else listed.length
    if clip and listed.frames:
        kept = yield from common_length(clip.frames, listed.length, what)
    return (yield from _filled(listed, kept, "missing-boxes", "a crop box"))


def _filled(listed: _Listed, kept: int, code: Code, what: str) -> Reading[Boxes]:
    missing = [frame for frame in range(kept) if frame not in listed.frames]
    yield from missing_boxes(missing, kept, code, what)
    return fill_boxes(listed.boxes, kept)
