"""The object store in a directory, for laptops and for servers that share a file system.

Unfinished files stand in the root under names that no key may have, and are renamed into place: readers never see half
an object, and a worker that was killed leaves nothing that a listing would show.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from infra.counting import STORE_ERRORS, counts
from infra.errors import Failed, LipsyncError, NotFound, Rejected, Transient
from infra.object_store import (
    ObjectInfo,
    checked_folder,
    checked_key,
    checked_prefix,
    checked_range,
    checked_validity,
    is_key,
    too_short,
)

_UNFINISHED = ".unfinished-"
_ABANDONED_S = 24 * 3600  # no upload takes a day: whoever began such a file was killed
_RENAMES = 100  # each one lost means that another process deleted the last neighbour at that very moment
_BLOCK_BYTES = 1 << 20

_FULL = "there is no room left; free some space or raise the quota"
_FORBIDDEN = "this user may not; check the owner and that the file system is mounted for writing"
_IN_THE_WAY = "a file already stands where a directory is needed, or the other way round; delete or rename one"
_REASONS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "the file would become larger than this process or file system allows; raise the limit",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
}
_PASSING = {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EMFILE, errno.ENFILE}


def file_error(doing: str, error: OSError) -> LipsyncError:
    """One sentence for what a file system refused; `doing` names the act and the object, such as `Writing /a/b`."""
    if error.errno in _PASSING:
        return Transient(f"{doing} failed for now: {os.strerror(error.errno)}; try again.")
    if error.errno == errno.ENAMETOOLONG:
        return Rejected(f"{doing} failed: the path is too long for this file system; use a shorter one.")
    reason = _REASONS.get(error.errno or 0) or os.strerror(error.errno or errno.EIO)
    return Failed(f"{doing} failed: {reason}.")


@contextmanager
def _speaking(doing: str, absent: str = "") -> Iterator[None]:
    """Translate what the file system says; with `absent`, a missing file is `NotFound` with that sentence."""
    try:
        yield
    except OSError as error:
        if absent and isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise NotFound(absent) from error
        counts.add(STORE_ERRORS)
        raise file_error(doing, error) from error


class DirectoryStore:
    """Objects as files below `root`, which is made by the first put. The methods are explained in `ObjectStore`."""

    def __init__(self, root: Path):
        self._root = root.absolute()

    def __repr__(self) -> str:
        return f"DirectoryStore({self.url!r})"

    @property
    def url(self) -> str:
        """`file:///dir`."""
        return self._root.as_uri()

    def location(self, key: str) -> str:
        """The absolute path of an object."""
        return str(self._path(key))

    def download_url(self, key: str, valid_s: int) -> str:
        """`file:///dir/key`, for machines that share the directory."""
        checked_validity(valid_s)
        return self._path(key).as_uri()

    def put(self, key: str, data: bytes) -> None:
        """Store `data`."""
        self.put_stream(key, [data])

    def put_file(self, key: str, path: Path) -> None:
        """Store the content of a file."""
        self.put_stream(key, file_blocks(path))

    def put_stream(self, key: str, blocks: Iterable[bytes]) -> int:
        """Store the blocks; errors of `blocks` pass unchanged, those of the file system are translated."""
        target = self._path(key)
        writing = f"Writing {target}"
        unfinished = self._root / f"{_UNFINISHED}{uuid4().hex}"
        size = 0
        with _speaking(writing):
            self._root.mkdir(parents=True, exist_ok=True)
            file = unfinished.open("xb", buffering=0)
        try:
            for block in blocks:
                with _speaking(writing):
                    _write_all(file, block)
                size += len(block)
            with _speaking(writing):
                file.close()  # here a file system over the network reports what it could not keep
                _move(unfinished, target)
        except BaseException:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        return size

    def get(self, key: str) -> bytes:
        """The whole object."""
        with self._reading(key) as file:
            return file.read()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Exactly the bytes `[start, stop)`."""
        length = checked_range(start, stop)
        with self._reading(key) as file:
            file.seek(start)
            data = file.read(length)
        if len(data) != length:
            raise too_short(self.location(key), stop)
        return data

    def get_file(self, key: str, path: Path) -> None:
        """Copy the object to `path`, whole or not at all."""
        unfinished = path.with_name(f"{_UNFINISHED}{uuid4().hex}")
        with self._reading(key) as source, _speaking(f"Writing {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("xb") as file:
                    shutil.copyfileobj(source, file, _BLOCK_BYTES)
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise

    def size(self, key: str) -> int | None:
        """Length in bytes, None when absent."""
        try:
            with self._reading(key) as file:
                return os.fstat(file.fileno()).st_size
        except NotFound:
            return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, sorted by key."""
        folder = checked_prefix(prefix).rpartition("/")[0]
        with _speaking(f"Listing {self._root / folder}"):
            yield from _walk(self._root / folder, f"{folder}/" if folder else "", prefix)

    def delete(self, key: str) -> None:
        """Delete the object, and the directories that it leaves empty."""
        path = self._path(key)
        with _speaking(f"Deleting {path}"):
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
            for parent in path.relative_to(self._root).parents[:-1]:
                try:
                    (self._root / parent).rmdir()
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError:  # not empty, or somebody else's to remove: no harm in either
                    break

    def delete_prefix(self, prefix: str) -> None:
        """Delete all objects below a prefix that ends with `/`."""
        for info in self.list(checked_folder(prefix)):
            self.delete(info.key)

    def check(self) -> None:
        """Write and delete a file, and remove what killed workers left in the root."""
        with _speaking(f"Checking the store {self._root}"):
            self._root.mkdir(parents=True, exist_ok=True)
            probe = self._root / f"{_UNFINISHED}{uuid4().hex}"
            try:
                probe.write_bytes(b"probe")
            finally:
                probe.unlink(missing_ok=True)
            for left in self._root.glob(f"{_UNFINISHED}*"):
                with suppress(FileNotFoundError):
                    if left.stat().st_mtime < time.time() - _ABANDONED_S:
                        left.unlink()

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    @contextmanager
    def _reading(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with _speaking(f"Reading {path}", absent=f"There is no object {path}."), path.open("rb") as file:
            yield file


def file_blocks(path: Path) -> Iterator[bytes]:
    """The content of a file in blocks of 1 MiB."""
    with _speaking(f"Reading {path}"), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _write_all(file: FileIO, block: bytes) -> None:
    """Write a whole block: near the end of the disk the system takes less than it is given."""
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _move(unfinished: Path, target: Path) -> None:
    """Rename into place; another process may delete the parents meanwhile, since they were empty."""
    for left in reversed(range(_RENAMES)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(target)
            return
        except (FileNotFoundError, FileExistsError):  # the latter when it goes while mkdir looks what stands there
            if not left:
                raise


def _walk(directory: Path, base: str, prefix: str) -> Iterator[ObjectInfo]:
    """Objects below `directory`, whose keys begin with `base`, in the order of their whole keys.

    Directories sort with their slash (`a.b` comes before `a/b`), as they do in S3.
    """
    try:
        with os.scandir(directory) as entries:
            found = sorted(
                (f"{base}{entry.name}{'/' if entry.is_dir(follow_symlinks=False) else ''}", entry) for entry in entries
            )
    except (FileNotFoundError, NotADirectoryError):
        return
    for key, entry in found:
        if not key.startswith(prefix):
            continue
        if key.endswith("/"):
            yield from _walk(Path(entry.path), key, prefix)
        elif is_key(key) and entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):  # deleted meanwhile
                yield ObjectInfo(key, entry.stat().st_size)
