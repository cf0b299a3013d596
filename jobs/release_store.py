"""Releases in the store: the files of an artefact below its id, and the record that vouches for them.

The record comes last and goes first, so a release that is half pushed or half removed is none.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from infra.errors import Damaged, NotFound, Rejected
from infra.object_store import ObjectStore
from infra.release_record import ReleaseFile, ReleaseRecord, parse_record, record_json
from infra.store_directory import file_blocks, file_error
from infra.tree_digest import Form
from jobs import keys

_LEAST_DIGITS: Final = 8


class Address(NamedTuple):
    """Where a host fetches a release, and what it must find there."""

    url: str
    form: Form
    file: ReleaseFile
    record: ReleaseRecord


def read_record(path: Path) -> ReleaseRecord:
    """Read the `.release.json` that a build wrote.

    Raises:
        NotFound: there is no such file.
        Damaged: it is none.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}: build a release with `make artefact`.") from None
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error
    return parse_record(data, str(path))


def push(path: Path, store: ObjectStore) -> ReleaseRecord:
    """Publish the release whose `.release.json` this is; its other files lie beside it. Doing so twice does it once.

    Returns:
        The record in the store. A release that is there stays as it is: packed elsewhere, the files of the same tree
            may differ, and hosts may be fetching them.

    Raises:
        Damaged: a file is not the one that the record names; nothing of it is in the store.
    """
    record = read_record(path)
    stored = _stored(record.id, store)
    if stored and stored.tree_sha256 == record.tree_sha256 and _is_whole(stored, store):
        return stored
    store.delete(keys.release_record(record.id))  # while files come and go, there is no such release
    for form, file in record.files.items():
        store.put_stream(keys.release_file(record.id, form), _proved_blocks(path.with_name(file.name), file))
    store.put(keys.release_record(record.id), record_json(record))
    return record


def releases(store: ObjectStore) -> list[ReleaseRecord]:
    """Releases of the store that are whole, sorted by version, variant and id."""
    found = [record for release_id in stored_bytes(store) if (record := _stored(release_id, store))]
    return sorted(found, key=lambda record: (record.version, record.variant, record.id))


def stored_bytes(store: ObjectStore) -> dict[str, int]:
    """Length in bytes of all that lies below each id, whole or not."""
    sizes: Counter[str] = Counter()
    for info in store.list(keys.RELEASES):
        release_id = info.key.removeprefix(keys.RELEASES).partition("/")[0]
        if keys.is_release_id(release_id):
            sizes[release_id] += info.size
    return dict(sizes)


def find(ref: str, store: ObjectStore) -> ReleaseRecord:
    """The release that a user means.

    Args:
        ref: its id, at least 8 digits of it, or its version and variant, such as `0.1.0+b2-cpu`.
        store: where it is.

    Raises:
        NotFound: there is no such release; the message names those that there are.
        Rejected: it may be several.
    """
    known = releases(store)
    found = [record for record in known if ref in {record.id, name(record)}]
    if not found and len(ref) >= _LEAST_DIGITS:
        found = [record for record in known if record.id.startswith(ref)]
    if len(found) > 1:
        raise Rejected(f"Release {ref!r} may be {' or '.join(record.id for record in found)}: name the id.")
    if not found:
        there_are = ", ".join(f"{record.id} ({name(record)})" for record in known)
        raise NotFound(
            f"There is no release {ref!r} in {store.url}: "
            + (f"there are {there_are}." if known else "push one with `lipsync release push`.")
        )
    return found[0]


def address(record: ReleaseRecord, form: Form, valid_s: int, store: ObjectStore) -> Address:
    """Where a plain GET reads a form of the release for `valid_s` seconds."""
    url = store.download_url(keys.release_file(record.id, form), valid_s)
    return Address(url, form, record.files[form], record)


def remove(ref: str, store: ObjectStore) -> tuple[str, int]:
    """Remove a release, or by its whole id what is left of one; hosts that have it keep it.

    Returns:
        Its id, and how many bytes went.
    """
    sizes = stored_bytes(store)
    release_id = ref if ref in sizes else find(ref, store).id
    store.delete(keys.release_record(release_id))
    store.delete_prefix(keys.release(release_id))
    return release_id, sizes[release_id]


def name(record: ReleaseRecord) -> str:
    """`version-variant`, as people call a release."""
    return f"{record.version}-{record.variant}"


def _is_whole(record: ReleaseRecord, store: ObjectStore) -> bool:
    return all(store.size(keys.release_file(record.id, form)) == file.bytes for form, file in record.files.items())


def _stored(release_id: str, store: ObjectStore) -> ReleaseRecord | None:
    """The record of a release, None where there is none that could be used."""
    key = keys.release_record(release_id)
    try:
        return parse_record(store.get(key), store.location(key))
    except (NotFound, Damaged):
        return None


def _proved_blocks(path: Path, file: ReleaseFile) -> Iterator[bytes]:
    """The content of a file; a store keeps nothing of it when this raises after the last block."""
    digest = hashlib.sha256()
    for block in file_blocks(path):
        digest.update(block)
        yield block
    if digest.hexdigest() != file.sha256:
        raise Damaged(f"{path} is not the file that its release names: build the release again.")
