"""An avatar's template clip as a paste needs it: decoded once per host and read from memory-mapped files ever after.

Frames are kept as the encoder takes them, planes of YUV 4:2:0, and of the picture itself only what surrounds the crop
box. Whole pictures are decoded when somebody asks for them: lossless frames and previews do, jobs do not.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from infra.media_colour import matrix_for
from infra.media_planes import to_planes
from jobs.avatar_spec import AvatarSpec, Box, FrameSize
from workers.avatar.cache import Shelf, speaking
from workers.avatar.decoded import decoded_folder, mapped, settle
from workers.avatar.pack import Pack
from workers.avatar.pictures import keep_mask, template_frames
from workers.render.composite import paste
from workers.render.crop import CROP_PX, Picture, crop_328
from workers.render.planes import Planes, Surrounds, put, surrounds_of

_PLANES, _CROPS, _SURROUNDS, _KEEP, _PICTURES = "planes.yuv", "crops.bgr", "surrounds.bgr", "keep.bool", "frames.bgr"
_KIND: Final = {_PLANES: "planes", _PICTURES: "pictures"}


class Template:
    """Template frames and what belongs to each; everything is read-only and may be larger than the memory.

    All methods may be called from several threads at once.
    """

    def __init__(self, pack: Pack, shelf: Shelf, disk_mb: int | None):
        spec = pack.spec
        self._pack, self._shelf, self._disk_mb = pack, shelf, disk_mb
        self._lease = shelf.use()
        folder = decoded_folder(_KIND[_PLANES], _sizes(spec), partial(_decode, pack), shelf, disk_mb)
        height, width, count = spec.frame_size.height, spec.frame_size.width, spec.frame_count
        self._matrix = matrix_for(height)
        self._places = places = _places(spec)
        self._keep_starts = _keep_starts(spec)
        self.boxes: Sequence[Box] = spec.boxes
        """Crop boxes `[x0, y0, x1, y1]`, half-open."""
        with speaking(f"Opening the decoded template {folder}"):
            self.planes: npt.NDArray[np.uint8] = mapped(folder / _PLANES, (count, height * 3 // 2, width))
            """uint8 (N, H * 3 // 2, W): each frame as the encoder takes it."""
            self.crops: npt.NDArray[np.uint8] = mapped(folder / _CROPS, (count, CROP_PX, CROP_PX, 3))
            """uint8 (N, 328, 328, 3), BGR."""
            self._surrounds = mapped(folder / _SURROUNDS, (count, places.height, places.width, 3))
            masks = self._keep_starts[-1]
            self._keep = mapped(folder / _KEEP, (masks,)).view(np.bool_) if masks else None

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def frames(self) -> npt.NDArray[np.uint8]:
        """uint8 (N, H, W, 3), BGR: whole pictures, decoded to the cache when they are first asked for on a host.

        Raises:
            Failed: a frame cannot be decoded, or they do not fit on the disk or into the cache's bound.
        """
        shape = (len(self), self._pack.spec.frame_size.height, self._pack.spec.frame_size.width, 3)
        size = {_PICTURES: int(np.prod(shape))}
        folder = decoded_folder(
            _KIND[_PICTURES], size, partial(_decode_pictures, self._pack), self._shelf, self._disk_mb
        )
        with speaking(f"Opening the decoded frames {folder}"):
            return mapped(folder / _PICTURES, shape)

    def keep_mask(self, frame: int) -> npt.NDArray[np.bool_] | None:
        """Where frame `frame` stays as it is: bool (box height, box width), or None when it has no parsing map."""
        start, stop = self._keep_starts[frame], self._keep_starts[frame + 1]
        if self._keep is None or start == stop:
            return None
        x0, y0, x1, y1 = self.boxes[frame]
        return self._keep[start:stop].reshape(y1 - y0, x1 - x0)

    def paste(self, index: int, face: Picture) -> Picture:
        """Paste a generated face, uint8 (320, 320, 3), into what surrounds the crop box of a frame.

        Returns:
            uint8, BGR, smaller than the frame: what `compose` and `picture` put in its place.
        """
        x, y = self._places.corners[index]
        x0, y0, x1, y1 = self.boxes[index]
        box = (x0 - x, y0 - y, x1 - x, y1 - y)
        return paste(self._surrounds[index], self.crops[index], face, box, self.keep_mask(index))

    def compose(self, index: int, pasted: Picture) -> Planes:
        """The frame with what `paste` gave for it, uint8 (H * 3 // 2, W): the very samples of the whole picture."""
        return put(self.planes[index], to_planes(pasted, self._matrix), self._places.corners[index])

    def picture(self, index: int, pasted: Picture) -> Picture:
        """The frame with what `paste` gave for it as a picture, uint8 (H, W, 3), BGR; asks for `frames`."""
        x, y = self._places.corners[index]
        result = np.array(self.frames[index])
        result[y : y + self._places.height, x : x + self._places.width] = pasted
        return result


def open_template(pack: Pack, cache_dir: Path, disk_mb: int | None = None) -> Template:
    """Open the decoded template of a pack, decoding it first where no process of this host has done so.

    Args:
        pack: the avatar.
        cache_dir: the cache of this host.
        disk_mb: bound of the cache in 10^6 bytes; other avatars leave it to make room.

    Raises:
        Failed: a frame cannot be decoded, or the decoded template does not fit on the disk or into `disk_mb`.
    """
    return Template(pack, Shelf(cache_dir, pack.digest), disk_mb)


def frame_bytes(size: FrameSize, boxes: Sequence[Box]) -> int:
    """What one frame of a decoded template takes on the disk, its mask and its whole picture aside."""
    places = surrounds_of(boxes, size.height, size.width)
    return size.height * size.width * 3 // 2 + 3 * (CROP_PX * CROP_PX + places.height * places.width)


def _places(spec: AvatarSpec) -> Surrounds:
    return surrounds_of(spec.boxes, spec.frame_size.height, spec.frame_size.width)


def _sizes(spec: AvatarSpec) -> dict[str, int]:
    """Exact size in bytes of each file of a decoded template."""
    count, size, places = spec.frame_count, spec.frame_size, _places(spec)
    sizes = {
        _PLANES: count * size.height * size.width * 3 // 2,
        _CROPS: count * CROP_PX * CROP_PX * 3,
        _SURROUNDS: count * places.height * places.width * 3,
        _KEEP: _keep_starts(spec)[-1],
    }
    return {name: size for name, size in sizes.items() if size}


def _keep_starts(spec: AvatarSpec) -> list[int]:
    """Where each frame's mask begins in the file of masks, and at last where the file ends; one byte is one pixel."""
    areas = (
        (x1 - x0) * (y1 - y0) if spec.has_parsing(frame) else 0 for frame, (x0, y0, x1, y1) in enumerate(spec.boxes)
    )
    return list(accumulate(areas, initial=0))


def _decode(pack: Pack, folder: Path) -> None:
    places, matrix = _places(pack.spec), matrix_for(pack.spec.frame_size.height)
    with ExitStack() as stack:
        planes, crops, surrounds = (
            stack.enter_context((folder / name).open("wb")) for name in (_PLANES, _CROPS, _SURROUNDS)
        )
        for frame, box, (x, y) in zip(template_frames(pack), pack.spec.boxes, places.corners, strict=True):
            planes.write(_bytes(to_planes(frame, matrix)))
            crops.write(_bytes(crop_328(frame, box)))
            surrounds.write(_bytes(frame[y : y + places.height, x : x + places.width]))
        settle(planes, crops, surrounds)
    parsed = [frame for frame in range(pack.spec.frame_count) if pack.spec.has_parsing(frame)]
    if parsed:
        _write(folder / _KEEP, (keep_mask(pack, frame) for frame in parsed))


def _decode_pictures(pack: Pack, folder: Path) -> None:
    _write(folder / _PICTURES, template_frames(pack))


def _write(path: Path, arrays: Iterable[npt.NDArray[np.uint8] | npt.NDArray[np.bool_]]) -> None:
    with path.open("wb") as file:
        for array in arrays:
            file.write(_bytes(array))
        settle(file)


def _bytes(array: npt.NDArray[np.uint8] | npt.NDArray[np.bool_]) -> memoryview:
    return np.ascontiguousarray(array).data
