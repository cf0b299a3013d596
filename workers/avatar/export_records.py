"""What was measured when a pack's networks were made of checkpoints: a record that goes wherever the pack goes.

It lies beside the pack, in the store and in this machine's cache, since its last digits differ from machine to machine.
"""

import json
from pathlib import Path
from typing import Any, Final

from infra.errors import Damaged, NotFound
from infra.object_store import ObjectStore
from infra.store_directory import file_error
from jobs import keys
from workers.avatar.cache import Shelf
from workers.avatar.pack import Pack

_CACHED: Final = "exports.json"


def read_exports(digest: str, store: ObjectStore, cache_dir: Path) -> list[dict[str, Any]]:
    """The record of a pack, one dictionary for each network that was made of a checkpoint; empty without a record.

    Raises:
        Damaged: the record is.
    """
    data = _find(digest, store, cache_dir)
    if data is None:
        return []
    exports = parse_exports(data)
    if exports is None:
        raise Damaged(f"The record {store.location(keys.exports(digest))}, or its copy in {cache_dir}, is damaged.")
    return exports


def parse_exports(data: bytes) -> list[dict[str, Any]] | None:
    """The content of a record, None when it is none."""
    try:
        return [dict(export) for export in json.loads(data)["exports"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def carried_record(pack: Pack, made_of: str, store: ObjectStore, cache_dir: Path) -> bytes | None:
    """The record to publish with a pack that was not made of checkpoints just now.

    Args:
        pack: what is to be published.
        made_of: digest of the pack of which it was made, which may be itself.
        store: where a record may be.
        cache_dir: where `keep_record` may have left one.

    Returns:
        The record, None when there is none that is about the checkpoints of this pack.
    """
    checkpoints = pack.spec.provenance.checkpoints
    for digest in dict.fromkeys((pack.digest, made_of)) if checkpoints else ():
        data = _find(digest, store, cache_dir)
        exports = parse_exports(data) if data else None
        if exports and {export.get("network"): export.get("checkpoint") for export in exports} == checkpoints:
            return data
    return None


def keep_record(digest: str, store: ObjectStore, cache_dir: Path) -> None:
    """Put the store's record of a pack, where it has one, beside the pack in this machine's cache."""
    data = _stored(digest, store)
    shelf = Shelf(cache_dir, digest)
    if data is not None:
        with shelf.making() as unfinished:
            (unfinished / _CACHED).write_bytes(data)
            (unfinished / _CACHED).replace(shelf.home / _CACHED)


def _find(digest: str, store: ObjectStore, cache_dir: Path) -> bytes | None:
    stored = _stored(digest, store)
    return _cached(digest, cache_dir) if stored is None else stored


def _stored(digest: str, store: ObjectStore) -> bytes | None:
    try:
        return store.get(keys.exports(digest))
    except NotFound:
        return None


def _cached(digest: str, cache_dir: Path) -> bytes | None:
    path = Shelf(cache_dir, digest).home / _CACHED
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error
