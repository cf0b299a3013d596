"""What lies in a source and is not taken: prepared faces, tensor caches, a second copy of the clip.

All of it is made anew from frames, boxes and networks. It tells whether the networks were trained for something else
than what they will be shown.
"""

import os
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import cv2
import numpy as np

from infra.errors import LipsyncError
from infra.media_video import decode_video, probe_video
from workers.avatar.findings import Finding, some
from workers.avatar.pictures import read_picture
from workers.avatar.sources.clips import PICTURES, Clip
from workers.avatar.sources.folder import SourceFolder
from workers.avatar.sources.masks import EXPECTED, find_mask, is_expected
from workers.render.crop import Picture

_TENSORS: Final = (".npy", ".npz", ".pt", ".bin", ".pkl", ".safetensors")
_VIDEOS: Final = (".mp4", ".mov", ".avi", ".mkv", ".webm")
_TAKEN: Final = frozenset({"landmarks", "parsing", "models"})
_COPIES: Final = frozenset({"full_body_img", "frames", "full_body_video.mp4"})  # names of the clip in all layouts
_FACE_PX: Final = 512  # faces are prepared as squares of 256 to 328 px; template frames are larger, and rarely square
_COMPARED: Final = (0, 8, 24)  # early frames of which copies are compared: those of another recording differ
_ALIKE: Final = 10.0  # levels of grey by which copies may differ on average; compression makes one or two


class Film(NamedTuple):
    """A video, or a folder of pictures."""

    name: str
    pictures: tuple[str, ...] = ()
    """Relative paths in order; empty for a video."""

    def __str__(self) -> str:
        return f"{self.name}/" if self.pictures else self.name


def leftover_findings(folder: SourceFolder, clip: Clip | None) -> Iterator[Finding]:
    """Look at what importing leaves behind.

    Args:
        folder: the source.
        clip: its template clip.
    """
    films, tensors = [], []
    for parent, files in groupby(_files(folder.root), key=lambda file: PurePosixPath(file).parent.as_posix()):
        if parent.partition("/")[0] in _TAKEN:
            continue
        names = list(files)
        tensors += [name for name in names if name.endswith(_TENSORS)]
        films += [Film(name) for name in names if name.endswith(_VIDEOS)]
        pictures = sorted((name for name in names if name.endswith(PICTURES)), key=_number)
        films += [Film(parent, tuple(pictures))] if pictures else []
    yield from _tensor_findings(folder.root, tensors)
    own = _own(folder, clip)
    yield from _face_findings(folder, [film for film in films if film.name not in _COPIES])
    for film in films:
        if clip and film.name in _COPIES - {own.name}:
            yield from _copy_findings(folder, own, film, clip.frames)


def _files(root: Path) -> list[str]:
    """Relative paths of all files below `root`, those of one folder together; links are left out."""
    found = []
    for parent, _, names in os.walk(root):
        paths = [Path(parent, name) for name in sorted(names)]
        found += [path.relative_to(root).as_posix() for path in paths if not path.is_symlink()]
    return found


def _number(name: str) -> tuple[int, str]:
    """Sorts `2.jpg` before `10.jpg`."""
    digits = "".join(character for character in PurePosixPath(name).stem if character in "0123456789")
    return int(digits[-9:] or 0), name


def _own(folder: SourceFolder, clip: Clip | None) -> Film:
    """The film that the template clip is."""
    if clip and clip.video:
        return Film(clip.video.name)
    paths = [path.relative_to(folder.root) for path in clip.pictures] if clip else []
    return Film(paths[0].parent.as_posix(), tuple(path.as_posix() for path in paths)) if paths else Film("")


def _tensor_findings(root: Path, tensors: list[str]) -> Iterator[Finding]:
    if not tensors:
        return
    size_mb = sum((root / name).stat().st_size for name in tensors) / 1e6
    sentence = (
        f"Tensors that other programs keep are never read: {some(tensors)} ({size_mb:.1f} MB) can be deleted when they "
        "serve nothing else."
    )
    yield Finding("note", "stale-cache", sentence)


def _face_findings(folder: SourceFolder, films: list[Film]) -> Iterator[Finding]:
    """Crops and masked faces: whether they are there, and whether their mask is the contract's."""
    faces = {
        film.name: picture for film in films if (picture := _early(folder, film, 0)) is not None and _is_face(picture)
    }
    if faces:
        sentence = (
            f"Prepared crops and masked faces are never trusted but made anew: {some(sorted(faces))} can be deleted."
        )
        yield Finding("note", "baked-pictures", sentence)
    for name, picture in sorted(faces.items()):
        mask, side_px = find_mask(picture), len(picture)
        if mask and not is_expected(mask, side_px):
            sentence = (
                f"The faces in {name} carry another mask: {mask} of {side_px}x{side_px} pixels are black, where this "
                f"contract has {EXPECTED} of 320x320; networks that were trained with the other one may leave an edge "
                "around the mouth: look for it with `lipsync avatar preview`, and train them again if it is there."
            )
            yield Finding("warning", "baked-mask", sentence)


def _is_face(picture: Picture) -> bool:
    height, width, _ = picture.shape
    return bool(height == width <= _FACE_PX)


def _copy_findings(folder: SourceFolder, own: Film, other: Film, frames: int) -> Iterator[Finding]:
    """Compare the template clip with what should be the same as pictures or as video."""
    count = _length(folder, other)
    if count != frames:
        difference = f"holds {count} frames instead of {frames}"
    elif not _alike(folder, own, other):
        difference = "shows something else"
    else:
        return
    sentence = (
        f"The clip is there twice: {own} is taken, and {other} {difference}; delete {other}, or replace {own} if that "
        "is the older one."
    )
    yield Finding("warning", "stale-frames", sentence)


def _length(folder: SourceFolder, film: Film) -> int:
    if film.pictures:
        return len(film.pictures)
    try:
        return probe_video(folder.file(film.name)).frames
    except LipsyncError:
        return 0


def _alike(folder: SourceFolder, one: Film, other: Film) -> bool:
    for index in _COMPARED:
        first, second = _early(folder, one, index), _early(folder, other, index)
        if first is None or second is None:
            return first is second
        if first.shape != second.shape or np.abs(_grey(first) - _grey(second)).mean() > _ALIKE:
            return False
    return True


def _early(folder: SourceFolder, film: Film, index: int) -> Picture | None:
    """Frame `index` of a film; None when it has none or cannot be read."""
    try:
        if not film.pictures:
            return next(islice(decode_video(folder.file(film.name), None), index, None), None)
        name = film.pictures[index] if index < len(film.pictures) else ""
        return read_picture(folder.file(name), name) if name else None
    except LipsyncError:
        return None


def _grey(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
