"""An avatar's template clip, decoded and cropped once per host and read from memory-mapped files ever after.

The folder's name carries the versions of the decoders: the last bits of a decoded frame depend on them.
"""

import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final

import cv2
import numpy as np
import numpy.typing as npt

from infra.errors import Failed
from jobs.avatar_spec import AvatarSpec, Box
from workers.avatar.cache import Shelf, discard, make_room, speaking
from workers.avatar.pack import Pack
from workers.avatar.pictures import keep_mask, template_frames
from workers.render.crop import CROP_PX, Picture, crop_328

_FRAMES, _CROPS, _KEEP = "frames.bgr", "crops.bgr", "keep.bool"
_MB: Final = 1_000_000


class Template:
    """Template frames and what belongs to each; everything is read-only and may be larger than the memory."""

    def __init__(self, pack: Pack, folder: Path, lease: object = None):
        spec = pack.spec
        height, width, count = spec.frame_size.height, spec.frame_size.width, spec.frame_count
        self.frames: npt.NDArray[np.uint8] = _map(folder / _FRAMES, (count, height, width, 3))
        """uint8 (N, H, W, 3), BGR."""
        self.crops: npt.NDArray[np.uint8] = _map(folder / _CROPS, (count, CROP_PX, CROP_PX, 3))
        """uint8 (N, 328, 328, 3), BGR."""
        self.boxes: Sequence[Box] = spec.boxes
        """Crop boxes `[x0, y0, x1, y1]`, half-open."""
        self._keep_starts = _keep_starts(spec)
        self._keep = _map(folder / _KEEP, (self._keep_starts[-1],)).view(np.bool_) if self._keep_starts[-1] else None
        self._lease = lease

    def __len__(self) -> int:
        return len(self.boxes)

    def keep_mask(self, frame: int) -> npt.NDArray[np.bool_] | None:
        """Where frame `frame` stays as it is: bool (box height, box width), or None when it has no parsing map."""
        start, stop = self._keep_starts[frame], self._keep_starts[frame + 1]
        if self._keep is None or start == stop:
            return None
        x0, y0, x1, y1 = self.boxes[frame]
        return self._keep[start:stop].reshape(y1 - y0, x1 - x0)


def open_template(pack: Pack, cache_dir: Path, disk_mb: int | None = None) -> Template:
    """Open the decoded template of a pack, decoding it first where no process of this host has done so.

    Args:
        pack: the avatar.
        cache_dir: the cache of this host.
        disk_mb: bound of the cache in 10^6 bytes; other avatars leave it to make room.

    Raises:
        Failed: a frame cannot be decoded, or the decoded template does not fit on the disk or into `disk_mb`.
    """
    shelf = Shelf(cache_dir, pack.digest)
    lease = shelf.use()
    folder = shelf.home / f"template-opencv{cv2.__version__}-av{version('av')}"
    sizes = _sizes(pack.spec)
    if not _is_whole(folder, sizes):
        with shelf.making() as unfinished:
            if not _is_whole(folder, sizes):
                discard(folder)
                _reserve(pack, cache_dir, disk_mb, sum(sizes.values()))
                _decode(pack, unfinished)
                unfinished.rename(folder)
    with speaking(f"Opening the decoded template {folder}"):
        return Template(pack, folder, lease)


def _sizes(spec: AvatarSpec) -> dict[str, int]:
    """Exact size in bytes of each file of a decoded template."""
    count = spec.frame_count
    sizes = {
        _FRAMES: count * spec.frame_size.height * spec.frame_size.width * 3,
        _CROPS: count * CROP_PX * CROP_PX * 3,
        _KEEP: _keep_starts(spec)[-1],
    }
    return {name: size for name, size in sizes.items() if size}


def _keep_starts(spec: AvatarSpec) -> list[int]:
    """Where each frame's mask begins in the file of masks, and at last where the file ends; one byte is one pixel."""
    areas = (
        (x1 - x0) * (y1 - y0) if spec.has_parsing(frame) else 0 for frame, (x0, y0, x1, y1) in enumerate(spec.boxes)
    )
    return list(accumulate(areas, initial=0))


def _is_whole(folder: Path, sizes: dict[str, int]) -> bool:
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def _reserve(pack: Pack, cache_dir: Path, disk_mb: int | None, needed_bytes: int) -> None:
    """Make room for a decoded template, or say in time that there is none."""
    needed_mb = -(-needed_bytes // _MB)
    doing = f"Decoding the template of avatar {pack.digest} needs {needed_mb} MB in the cache {cache_dir}"
    if disk_mb is not None and needed_mb > disk_mb:
        raise Failed(f"{doing}, and LIPSYNC_CACHE_DISK_MB allows {disk_mb}: raise it or use a shorter template clip.")
    make_room(cache_dir, disk_mb, needed_bytes)
    free_mb = shutil.disk_usage(cache_dir).free // _MB
    if needed_mb > free_mb:
        raise Failed(f"{doing}, and its disk has {free_mb} MB left: free some space or set LIPSYNC_CACHE elsewhere.")


def _decode(pack: Pack, folder: Path) -> None:
    with (folder / _FRAMES).open("wb") as frames, (folder / _CROPS).open("wb") as crops:
        for frame, box in zip(template_frames(pack), pack.spec.boxes, strict=True):
            frames.write(_bytes(frame))
            crops.write(_bytes(crop_328(frame, box)))
        _settle(frames, crops)
    parsed = [frame for frame in range(pack.spec.frame_count) if pack.spec.has_parsing(frame)]
    if parsed:
        with (folder / _KEEP).open("wb") as masks:
            for index in parsed:
                masks.write(keep_mask(pack, index).data)
            _settle(masks)


def _bytes(picture: Picture) -> memoryview:
    return np.ascontiguousarray(picture).data


def _settle(*files: BinaryIO) -> None:
    """Bring files to the disk before a rename makes them visible: after a power cut their size alone proves nothing."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _map(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.memmap(path, np.uint8, mode="r", shape=shape)
