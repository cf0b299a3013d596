"""Avatars on a worker's disk: one folder per digest, shared by all processes of the host, bounded in size.

Two locks guard each folder. `use` is shared by whoever renders with the avatar and held alone only while it is thrown
away. `make` is held alone by the one process that fetches or decodes. Both vanish with the process that held them.
"""

import fcntl
import os
import shutil
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import structlog

from infra.errors import Damaged, LipsyncError, NotFound
from infra.object_store import ObjectStore
from infra.store_directory import file_error
from jobs import keys
from jobs.avatar_spec import AVATAR_JSON
from jobs.avatars import read_spec
from workers.avatar.pack import TRANSFERS, Pack, open_pack

_log = structlog.get_logger(__name__)
_MB = 1_000_000


class Lease:
    """A shared lock for as long as the object lives, or until `release`."""

    def __init__(self, path: Path):
        descriptor = _open(path)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._close = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Let go at once."""
        self._close()


class Shelf:
    """The folder of one avatar in the cache."""

    def __init__(self, cache_dir: Path, digest: str):
        self.digest = digest
        self.cache_dir = cache_dir
        self.home = cache_dir / "avatars" / digest
        self.pack = self.home / "pack"
        self._locks = cache_dir / "locks"

    def use(self) -> Lease:
        """Keep the avatar on the disk, and mark it as used now."""
        with speaking(f"Opening the cache of avatar {self.digest} in {self.cache_dir}"):
            lease = Lease(self._locks / f"{self.digest}.use")
            self.home.mkdir(parents=True, exist_ok=True)
            os.utime(self.home)
        return lease

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Be the only one to write; gives an empty folder whose content may be renamed into `home`."""
        descriptor = _open(self._locks / f"{self.digest}.make")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            unfinished = self.home / "unfinished"
            with speaking(f"Writing avatar {self.digest} to the cache {self.cache_dir}"):
                discard(unfinished)
                unfinished.mkdir()
                try:
                    yield unfinished
                finally:
                    discard(unfinished)
        finally:
            os.close(descriptor)

    def throw_away(self) -> bool:
        """Delete the folder unless somebody uses it."""
        descriptor = _open(self._locks / f"{self.digest}.use")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            discard(self.home)
            return True
        finally:
            os.close(descriptor)


def fetch_pack(store: ObjectStore, digest: str, cache_dir: Path, disk_mb: int | None = None) -> Pack:
    """Give the pack from this host's cache, fetched from the store when it is not there or was damaged.

    Args:
        store: where the pack is.
        digest: the pack's digest.
        cache_dir: the cache of this host, shared by its processes.
        disk_mb: size in 10^6 bytes beyond which the least recently used avatars leave the cache; None for no bound.

    Raises:
        NotFound: there is no such pack in the store.
        Failed: the store's own copy is damaged, or the cache cannot be written.
    """
    shelf = Shelf(cache_dir, keys.avatar_pack(digest).split("/")[1])
    lease = shelf.use()
    target = shelf.pack
    with shelf.making() as unfinished:
        try:
            pack = open_pack(target, digest)
        except LipsyncError as error:
            if not isinstance(error, NotFound):
                _log.warning("cached avatar is damaged and fetched again", digest=digest, reason=str(error))
            pack = replace(_download(store, digest, unfinished), root=target)
            discard(target)
            unfinished.rename(target)
    make_room(cache_dir, disk_mb)
    return replace(pack, lease=lease)


def is_cached(digest: str, cache_dir: Path) -> bool:
    """Whether this host's cache holds a pack."""
    return (Shelf(cache_dir, digest).pack / AVATAR_JSON).is_file()


def cached_pack(digest: str, cache_dir: Path) -> Pack:
    """Open a pack of this host's cache, without any store.

    Raises:
        NotFound: it is not there.
        Failed: it was damaged.
    """
    shelf = Shelf(cache_dir, digest)
    if not is_cached(digest, cache_dir):
        raise NotFound(f"Avatar {digest} is not in the cache {cache_dir}.")
    lease = shelf.use()
    return replace(open_pack(shelf.pack, digest), lease=lease)


class CachedPack(NamedTuple):
    """A pack in the cache: bytes with its decoded template, and when it was last used, in seconds since the epoch."""

    digest: str
    size: int
    used_s: float


def cached_packs(cache_dir: Path) -> list[CachedPack]:
    """Packs of this host's cache, sorted; the bytes of none are proved."""
    with speaking(f"Looking into the cache {cache_dir}"):
        homes = sorted((cache_dir / "avatars").glob("*"))
        return [
            CachedPack(home.name, _size(home), _last_used(home) / 1e9)
            for home in homes
            if keys.is_digest(home.name) and is_cached(home.name, cache_dir)
        ]


def make_room(cache_dir: Path, disk_mb: int | None, needed_bytes: int = 0) -> None:
    """Throw away the least recently used avatars until the cache and `needed_bytes` fit into `disk_mb`.

    Avatars in use stay, even when the bound is exceeded by them.
    """
    if disk_mb is None:
        return
    with speaking(f"Making room in the cache {cache_dir}"):
        homes = sorted((cache_dir / "avatars").glob("*"), key=_last_used)
        sizes = {home: _size(home) for home in homes}
        excess = sum(sizes.values()) + needed_bytes - disk_mb * _MB
        for home in homes:
            if excess <= 0:
                return
            if Shelf(cache_dir, home.name).throw_away():
                _log.info("avatar left the cache", digest=home.name, megabytes=sizes[home] // _MB)
                excess -= sizes[home]


def discard(folder: Path) -> None:
    """Delete a folder that may not be there."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextmanager
def speaking(doing: str) -> Iterator[None]:
    """Translate what the file system says into one sentence that begins with `doing`."""
    try:
        yield
    except OSError as error:
        raise file_error(doing, error) from error


def _download(store: ObjectStore, digest: str, folder: Path) -> Pack:
    """Fetch a pack into an empty folder and prove it."""
    spec = read_spec(store, digest)
    prefix = keys.avatar_pack(digest)
    try:
        with ThreadPoolExecutor(TRANSFERS) as pool:
            for _ in pool.map(lambda file: store.get_file(prefix + file, folder / file), [*spec.files, AVATAR_JSON]):
                pass
    except NotFound as error:
        raise Damaged(f"Avatar {digest} in {store.url} is not whole: {error}") from error
    try:
        return open_pack(folder, digest)
    except Damaged as error:
        raise Damaged(f"Avatar {digest} in {store.url} is damaged there: {error}") from error


def _last_used(home: Path) -> int:
    try:
        return home.stat().st_mtime_ns
    except FileNotFoundError:  # another process threw it away just now
        return 0


def _size(home: Path) -> int:
    total = 0
    for folder, _, names in os.walk(home):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).lstat().st_size
    return total


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
