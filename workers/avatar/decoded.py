"""What is decoded of an avatar: files in the cache, made by whoever needs them first on a host, then read by all.

A folder's name carries the versions of the decoders: the last bits of a decoded frame depend on them.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final

import cv2
import numpy as np
import numpy.typing as npt

from infra.errors import Failed
from workers.avatar.cache import Shelf, discard, make_room

REVISION: Final = 2
"""To be raised whenever the files in such a folder are laid out in another way."""

_MB: Final = 1_000_000
_BEFORE: Final = {"planes": "template-*"}
"""Folders under names that are no longer given."""


def decoded_folder(
    kind: str, sizes: Mapping[str, int], write: Callable[[Path], None], shelf: Shelf, disk_mb: int | None
) -> Path:
    """Give a folder of decoded files, made first where no process of this host has done so.

    Args:
        kind: begins the folder's name.
        sizes: exact size in bytes of each file in it, by its name.
        write: makes the files in an empty folder.
        shelf: the avatar's place in the cache, in use.
        disk_mb: bound of the cache in 10^6 bytes; other avatars leave it to make room.

    Raises:
        Failed: the files do not fit on the disk or into `disk_mb`.
    """
    folder = shelf.home / f"{kind}{REVISION}-opencv{cv2.__version__}-av{version('av')}"
    if not _is_whole(folder, sizes):
        with shelf.making() as unfinished:
            if not _is_whole(folder, sizes):
                discard(folder)
                _reserve(shelf, disk_mb, sum(sizes.values()))
                write(unfinished)
                unfinished.rename(folder)
                discard_others(folder, f"{kind}*-opencv*", *([_BEFORE[kind]] if kind in _BEFORE else []))
    return folder


def discard_others(folder: Path, *patterns: str) -> None:
    """Delete what other versions made in a folder's stead; who has such files mapped goes on reading them."""
    for pattern in patterns:
        for other in folder.parent.glob(pattern):
            if other != folder:
                discard(other)


def settle(*files: BinaryIO) -> None:
    """Bring files to the disk before a rename makes them visible: after a power cut their size alone proves nothing."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def mapped(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The bytes of a file as a read-only array."""
    return np.memmap(path, np.uint8, mode="r", shape=shape)


def _is_whole(folder: Path, sizes: Mapping[str, int]) -> bool:
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def _reserve(shelf: Shelf, disk_mb: int | None, needed_bytes: int) -> None:
    """Make room for decoded files, or say in time that there is none."""
    needed_mb = -(-needed_bytes // _MB)
    doing = f"Decoding the template of avatar {shelf.digest} needs {needed_mb} MB in the cache {shelf.cache_dir}"
    if disk_mb is not None and needed_mb > disk_mb:
        raise Failed(f"{doing}, and LIPSYNC_CACHE_DISK_MB allows {disk_mb}: raise it or use a shorter template clip.")
    make_room(shelf.cache_dir, disk_mb, needed_bytes)
    free_mb = shutil.disk_usage(shelf.cache_dir).free // _MB
    if needed_mb > free_mb:
        raise Failed(f"{doing}, and its disk has {free_mb} MB left: free some space or set LIPSYNC_CACHE elsewhere.")
