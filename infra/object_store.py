"""The object store as the rest of the code sees it: flat keys, whole objects, two adapters (a directory, S3).

Keys are relative POSIX paths. What one of the stores could not hold is refused for all of them, so that a job that
works on a laptop works in S3 too. Puts are atomic: a reader meets the old object or the new one, whole, or none.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from infra.errors import Failed, Rejected
from infra.settings import Settings

_MAX_KEY_BYTES = 1024  # S3 and Swift
_MAX_PART_BYTES = 255  # NAME_MAX of ext4, XFS and NFS
MAX_VALID_S = 7 * 24 * 3600  # S3
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")


class ObjectInfo(NamedTuple):
    """One object of a listing; `size` in bytes."""

    key: str
    size: int


class ObjectStore(Protocol):
    """What both adapters promise. Every method may raise `Failed` or `Transient`, and `Rejected` for a bad key."""

    @property
    def url(self) -> str:
        """`s3://bucket/prefix` or `file:///dir`; for messages, free of secrets."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data`, replacing what was there."""

    def put_file(self, key: str, path: Path) -> None:
        """Store the content of the file `path`."""

    def put_stream(self, key: str, blocks: Iterable[bytes]) -> int:
        """Store the blocks one after the other, in constant memory, and return their length in bytes.

        `blocks` runs in the caller's thread. When it raises, nothing is left behind and its exception passes unchanged.
        """

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            NotFound: there is no such object.
        """

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Exactly the bytes `[start, stop)`.

        Raises:
            NotFound: there is no such object.
            Failed: the object ends before `stop`.
        """

    def get_file(self, key: str, path: Path) -> None:
        """Copy the object to `path`, which appears whole or not at all; missing parents are made.

        Raises:
            NotFound: there is no such object.
        """

    def size(self, key: str) -> int | None:
        """Length in bytes, or None when there is no such object."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, sorted by key; what no key may name is passed over."""

    def delete(self, key: str) -> None:
        """Delete the object; that there is none is fine."""

    def delete_prefix(self, prefix: str) -> None:
        """Delete all objects below `prefix`, which must end with `/`: neither a neighbour nor the whole store."""

    def check(self) -> None:
        """Reach the store, write to it and delete again; silence is reported after about 10 s.

        Raises:
            Unreachable: it did not answer.
            Failed: it answered and would not; the message says what to change.
        """

    def location(self, key: str) -> str:
        """What a person opens: `s3://bucket/prefix/key` or an absolute path."""

    def download_url(self, key: str, valid_s: int) -> str:
        """Where anybody reads the object with a plain GET, without credentials, for `valid_s` seconds.

        In S3 that is a signed `https://` address, a secret while it is valid, and it ends earlier with credentials that
        do; in a directory it is `file://` and holds for good. That there is such an object is not looked up.

        Raises:
            Rejected: no address can be valid for so long.
        """


def is_key(text: str) -> bool:
    """Whether `text` may name an object.

    A part that begins with a dot is no name: that refuses `.` and `..` and leaves room for unfinished files.
    """
    try:
        size = len(text.encode())
        parts = [part.encode() for part in text.split("/")]
    except UnicodeEncodeError:
        return False
    return (
        size <= _MAX_KEY_BYTES
        and not _FORBIDDEN.search(text)
        and all(part and not part.startswith(b".") and len(part) <= _MAX_PART_BYTES for part in parts)
    )


def checked_key(text: str) -> str:
    """Return `text` when it may name an object, refuse it otherwise."""
    if not is_key(text):
        raise Rejected(
            f"{text[:80]!r} cannot be a key in the store: use a relative path whose parts are neither empty nor begin "
            "with a dot, without backslashes and control characters."
        )
    return text


def checked_prefix(text: str) -> str:
    """Return `text` when some key may begin with it, refuse it otherwise."""
    if text:
        checked_key(f"{text}x")
    return text


def checked_folder(text: str) -> str:
    """Return `text` when everything that begins with it may be deleted: it ends with `/` and is not the whole store."""
    if not text.endswith("/"):
        raise Rejected(f"Everything below {text[:80]!r} cannot be deleted: the prefix must end with a slash.")
    return checked_prefix(text)


def checked_range(start: int, stop: int) -> int:
    """Length in bytes of the half-open range `[start, stop)`, which must not be negative or turned round."""
    if not 0 <= start <= stop:
        raise Rejected(f"Bytes {start} to {stop} are not a range: it must begin at 0 or later and end after that.")
    return stop - start


def checked_validity(valid_s: int) -> int:
    """Return `valid_s` when an address may be valid for so many seconds, refuse it otherwise: S3 signs for a week."""
    if not 1 <= valid_s <= MAX_VALID_S:
        raise Rejected(f"An address cannot be valid for {valid_s} s: choose 1 to {MAX_VALID_S} (a week).")
    return valid_s


def too_short(location: str, stop: int) -> Failed:
    """The error of a range that leaves its object."""
    return Failed(f"Reading {location} up to byte {stop} failed: the object is shorter than expected; store it again.")


def open_store(settings: Settings) -> ObjectStore:
    """The store that `LIPSYNC_STORE` names. Nothing is connected yet; a store belongs to the process that opened it.

    Raises:
        Rejected: the address cannot be used. It is never repeated in the message, since people put secrets there.
    """
    try:
        parts = urlsplit(settings.store_url)
    except ValueError:
        raise Rejected("LIPSYNC_STORE cannot be used: it is no address.") from None
    if parts.query or parts.fragment:
        raise Rejected("LIPSYNC_STORE cannot be used: an address of a store has no part after `?` or `#`.")
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise Rejected("LIPSYNC_STORE cannot be used: a directory is written file:///absolute/path (3 slashes).")
        from infra.store_directory import DirectoryStore

        return DirectoryStore(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        if not re.fullmatch(r"[A-Za-z0-9._-]+", parts.netloc):
            raise Rejected("LIPSYNC_STORE cannot be used: write s3://bucket/prefix, without credentials or a port.")
        prefix = parts.path.strip("/")
        from infra.store_s3 import S3Store

        return S3Store(parts.netloc, f"{checked_key(prefix)}/" if prefix else "", settings)
    raise Rejected("LIPSYNC_STORE cannot be used: it must begin with s3:// or file:///.")
