"""Avatar packs on disk and in the store: immutable folders, proved byte by byte when they are opened."""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.errors import Damaged, NotFound, Rejected, Transient
from infra.object_store import ObjectStore
from infra.store_directory import file_error
from jobs import keys
from jobs.avatar_spec import AUDIO_ENCODER_FILE, AVATAR_JSON, GENERATOR_FILE, AvatarSpec, read_avatar_json
from jobs.avatars import point

TRANSFERS = 8  # at a time: a template may be thousands of small pictures, each a round trip away


@dataclass(frozen=True)
class Pack:
    """A pack whose every byte was proved."""

    root: Path
    spec: AvatarSpec
    digest: str
    lease: object = None
    """What keeps a cached pack on the disk while this object lives."""

    @property
    def generator(self) -> Path:
        """The network that draws the face."""
        return self.root / GENERATOR_FILE

    @property
    def audio_encoder(self) -> Path:
        """The network that hears."""
        return self.root / AUDIO_ENCODER_FILE


def open_pack(root: Path, expected_digest: str | None = None) -> Pack:
    """Open a pack and prove every byte of it.

    Args:
        root: the pack's folder.
        expected_digest: refuse any other pack than this.

    Raises:
        NotFound: there is no pack in that folder.
        Damaged: a file is missing, unknown or changed; the message names it.
    """
    spec, digest = read_pack_spec(root)
    for problem in damage(root, spec):
        raise Damaged(problem)
    if expected_digest not in {None, digest}:
        raise Damaged(f"{root / AVATAR_JSON} was changed: it describes avatar {digest} instead of {expected_digest}.")
    return Pack(root, spec, digest)


def read_pack_spec(root: Path) -> tuple[AvatarSpec, str]:
    """The `avatar.json` of a pack's folder and the digest of the pack that it describes; other files are not read."""
    path = root / AVATAR_JSON
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{root} is no avatar pack: it has no {AVATAR_JSON}.") from None
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error
    return read_avatar_json(data, str(path))


def damage(root: Path, spec: AvatarSpec) -> Iterator[str]:
    """Compare a folder with its `avatar.json`; one sentence for each file that is missing, unknown or changed."""
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
    again = "fetch or import the avatar again"
    for name in sorted(present - spec.files.keys() - {AVATAR_JSON}):
        yield f"{root / name} does not belong to the pack: delete it, or {again}."
    for name, digest in sorted(spec.files.items()):
        if name not in present:
            yield f"{root / name} is missing from the pack: {again}."
        elif file_digest(root / name) != digest:
            yield f"{root / name} was changed, its bytes are not those that the pack lists: {again}."


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits, read in blocks."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error


def seal(root: Path, **fields: Any) -> Pack:
    """Make a pack of a folder that holds everything but `avatar.json`.

    Args:
        root: the folder; its files become the pack's.
        fields: those of `AvatarSpec` but `files`.

    Raises:
        Rejected: the files or fields do not make a pack.
    """
    paths = [path for path in root.rglob("*") if path.is_file()]
    files = {path.relative_to(root).as_posix(): file_digest(path) for path in paths}
    try:
        spec = AvatarSpec(files=files, **fields)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Rejected(f"{root} cannot become an avatar pack: {reason}.") from error
    (root / AVATAR_JSON).write_bytes(spec.to_bytes())
    return open_pack(root)


def publish(pack: Pack, store: ObjectStore, name: str, beside: Mapping[str, bytes] | None = None) -> None:
    """Upload what the store lacks of a pack, then let `name` mean it. Doing it again changes nothing.

    What lies beside goes first, since nobody may meet a named avatar that cannot be proved; `avatar.json` goes last: an
    upload that broke off has left no pack.

    Args:
        pack: what to publish.
        store: where to.
        name: what jobs will call it.
        beside: key → content of what belongs to the pack without being in it, such as its canary.

    Raises:
        Transient: somebody removed the pack at the same time; see `jobs.avatar_removal`.
    """
    keys.avatar_name(name)
    prefix = keys.avatar_pack(pack.digest)
    beside = beside or {}
    for key, data in beside.items():
        store.put(key, data)
    lacking = _lacking(pack, store)
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for _ in pool.map(
            lambda file: store.put_file(prefix + file, pack.root / file),
            [file for file in lacking if file != AVATAR_JSON],
        ):
            pass
    if lacking:
        store.put_file(prefix + AVATAR_JSON, pack.root / AVATAR_JSON)
    point(name, pack.digest, store)
    if _lacking(pack, store) or any(store.size(key) is None for key in beside):
        raise Transient(f"Avatar {pack.digest} was removed from {store.url} while it was published: publish it again.")


def _lacking(pack: Pack, store: ObjectStore) -> list[str]:
    """Files of a pack that the store does not hold, or not all of."""
    prefix = keys.avatar_pack(pack.digest)
    stored = {info.key: info.size for info in store.list(prefix)}
    files = [*sorted(pack.spec.files), AVATAR_JSON]
    return [file for file in files if stored.get(prefix + file) != _size(pack.root / file)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error
