"""Which avatars there are: in the store, with names and without, and in this machine's cache."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from infra.errors import Failed, NotFound
from infra.object_store import ObjectStore
from jobs.avatar_spec import AvatarSpec
from jobs.avatars import StoredPack, read_spec, stored_names, stored_packs
from jobs.console import printable
from workers.avatar.cache import Shelf, cached_packs, is_cached
from workers.avatar.pack import read_pack_spec

_MB: Final = 1_000_000
_NO_FACTS: Final[dict[str, Any]] = dict.fromkeys(
    ("frames", "width", "height", "template", "layout", "repairs", "licence")
)


def facts(name: str, digest: str, spec: AvatarSpec) -> dict[str, Any]:
    """What a command prints of an avatar that it made or found."""
    return {"name": name, "digest": digest} | _of_spec(spec)


def stored_rows(store: ObjectStore, cache_dir: Path) -> list[dict[str, Any]]:
    """One row per name of the store, sorted, and after them one for each pack that no name means.

    `bytes` counts the pack in the store. `problem` is a sentence where the pack or the name cannot be used; then the
    facts of `avatar.json` are None, and `digest` is None for a name that means no pack.
    """
    packs = {pack.digest: pack for pack in stored_packs(store)}
    names = stored_names(store)
    nameless = packs.keys() - {found.digest for found in names}
    return [
        *(_row(found.name, found.digest, found.problem, packs, store, cache_dir) for found in names),
        *(_row(None, digest, None, packs, store, cache_dir) for digest in sorted(nameless)),
    ]


def cached_rows(cache_dir: Path) -> Iterator[dict[str, Any]]:
    """One row per pack of this machine's cache, sorted by digest; names are the store's and None here.

    `bytes` counts what the pack takes on the disk, its decoded template included; `used` is when it was last used.
    """
    for pack in cached_packs(cache_dir):
        row: dict[str, Any] = {"name": None, "digest": pack.digest, "bytes": pack.size, "problem": None}
        try:
            spec, found = read_pack_spec(Shelf(cache_dir, pack.digest).pack)
        except NotFound:  # thrown away this moment
            continue
        except Failed as error:
            row |= _NO_FACTS | {"problem": str(error)}
        else:
            row |= _of_spec(spec)
            if found != pack.digest:
                row["problem"] = "Its avatar.json was changed: it is fetched again when it is used."
        used = datetime.fromtimestamp(pack.used_s, UTC).isoformat(timespec="seconds")
        yield row | {"cached": True, "used": used}


def line(row: dict[str, Any]) -> str:
    """A row for people; names are the store's, times of use the cache's."""
    in_cache = "used" in row
    words = [] if in_cache else [f"{row['name'] or '(no name)':<24}"]
    words.append(f"{row['digest'] or '(no pack)':<12.12}")
    if row["frames"] is not None:
        here = f"used {row['used']}, " if in_cache else "cached here, " if row["cached"] else ""
        pattern = "{width}x{height}, {frames} frames, {mb:.1f} MB, {here}licence {licence}"
        words.append(pattern.format(**row, mb=row["bytes"] / _MB, here=here))
    if row["problem"]:
        words.append(row["problem"])
    return printable(" ".join(words))


def _row(
    name: str | None,
    digest: str | None,
    problem: str | None,
    packs: Mapping[str, StoredPack],
    store: ObjectStore,
    cache_dir: Path,
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "digest": digest}
    if digest is None:
        return row | _NO_FACTS | {"bytes": 0, "problem": problem, "cached": False}
    pack = packs.get(digest, StoredPack(digest, 0, whole=False))
    return row | _stored(pack, store) | {"cached": is_cached(digest, cache_dir)}


def _stored(pack: StoredPack, store: ObjectStore) -> dict[str, Any]:
    found: dict[str, Any] = {"bytes": pack.size, "problem": None}
    if pack.size and not pack.whole:
        return _NO_FACTS | found | {"problem": "Publishing or removing it broke off, or is under way."}
    try:
        return found | _of_spec(read_spec(store, pack.digest))
    except NotFound:
        return _NO_FACTS | found | {"problem": "There is no such pack: it was removed, or publishing it broke off."}
    except Failed as error:
        return _NO_FACTS | found | {"problem": str(error)}


def _of_spec(spec: AvatarSpec) -> dict[str, Any]:
    return {
        "frames": spec.frame_count,
        "width": spec.frame_size.width,
        "height": spec.frame_size.height,
        "template": spec.template.kind,
        "layout": spec.provenance.layout,
        "repairs": list(spec.provenance.repairs),
        "licence": spec.licence,
    }
