"""`lipsync avatar push`, `pull`, `list`, `show` and `rm`: avatars between this machine and the store."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import Rejected
from jobs.console import Json, print_result, printable, say

if TYPE_CHECKING:
    from infra.object_store import ObjectStore
    from infra.settings import Settings
    from jobs.avatar_removal import Removal
    from workers.avatar.pack import Pack

Name = Annotated[str, typer.Option("--name", help="How jobs will call it: lower-case letters, digits, `.`, `_`, `-`.")]
Ref = Annotated[str, typer.Argument(metavar="NAME|DIGEST", help="A name in the store, or a digest or 8 digits of it.")]


def add_shelf_commands(app: typer.Typer) -> None:
    """Add these commands to `lipsync avatar`."""
    for name, command in (("push", push), ("pull", pull), ("list", list_command), ("show", show), ("rm", rm)):
        app.command(name)(command)


def push(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|DIGEST|NAME", help="A pack's folder, or an avatar in this machine's cache.")
    ],
    name: Name,
    as_json: Json = False,
) -> None:
    """Publish a pack of this machine, proved byte by byte, in the store under a name, with its canary."""
    from infra.object_store import open_store
    from infra.settings import read_settings
    from jobs import keys
    from workers.avatar.publishing import publish_and_print

    keys.avatar_name(name)
    settings = read_settings()
    pack = _pack_of_this_machine(source, settings, open_store(settings))
    publish_and_print(pack, name, settings, as_json=as_json)


def pull(
    avatar: Ref,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Make a copy in a folder, which must be new or empty.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch a pack from the store into this machine's cache, so that no job waits for it."""
    from infra.object_store import open_store
    from infra.settings import read_settings
    from jobs.avatars import resolve
    from workers.avatar.cache import fetch_pack, is_cached
    from workers.avatar.copying import check_new_folder, copy_pack
    from workers.avatar.export_records import keep_record

    if to is not None:
        check_new_folder(to)
    settings = read_settings()
    store = open_store(settings)
    digest = resolve(avatar, store)
    fetched = not is_cached(digest, settings.cache)
    pack = fetch_pack(store, digest, settings.cache, settings.cache_disk_mb)
    keep_record(pack.digest, store, settings.cache)
    root = pack.root if to is None else copy_pack(pack, to).root
    document = {"digest": pack.digest, "folder": str(root), "fetched": fetched}
    print_result(document, f"Avatar {pack.digest} is in {root}.", as_json=as_json)


def list_command(
    local: Annotated[bool, typer.Option("--local", help="List this machine's cache instead; asks no store.")] = False,
    as_json: Json = False,
) -> None:
    """List the avatars of the store: those with names, and packs that no name means any more."""
    from infra.object_store import open_store
    from infra.settings import read_settings
    from workers.avatar.inventory import cached_rows, line, stored_rows

    settings = read_settings()
    if local:
        rows, nothing = list(cached_rows(settings.cache)), f"There are no avatars in {settings.cache} yet."
    else:
        store = open_store(settings)
        rows, nothing = stored_rows(store, settings.cache), f"There are no avatars in {store.url} yet."
    print_result(rows, "\n".join(line(row) for row in rows) or nothing, as_json=as_json)


def show(
    target: Annotated[
        str, typer.Argument(metavar="NAME|DIGEST|FOLDER", help="An avatar in the store, or a pack's folder.")
    ],
    as_json: Json = False,
) -> None:
    """Say everything about one avatar."""
    from infra.settings import read_settings
    from workers.avatar.describing import describe, text_of

    found = describe(target, read_settings())
    for unknown in found.unknown:
        say(f"unknown: {unknown}")
    print_result(found.document, text_of(found.document), as_json=as_json)


def rm(
    avatar: Ref,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a name, and the pack when no other name means it; or, by digest, a pack and all its names."""
    from infra.settings import read_settings
    from jobs.avatar_removal import plan_removal, remove_avatar
    from jobs.fleet import Fleet

    fleet = Fleet(read_settings())
    removal = plan_removal(avatar, fleet.ledger, fleet.store)
    if not yes:
        _confirm(removal, fleet.store)
    remove_avatar(removal, fleet.ledger, fleet.store)
    if removal.pack and removal.failed_jobs:
        say(
            f"Failed jobs can be retried only when avatar {removal.pack} is published again: "
            f"{', '.join(removal.failed_jobs)}."
        )
    document = {
        "digest": removal.digest,
        "names": list(removal.names),
        "pack_removed": removal.pack is not None,
        "bytes": removal.size if removal.pack else 0,
        "kept_by": list(removal.kept_by),
        "failed_jobs": list(removal.failed_jobs),
    }
    print_result(document, f"Removed from {fleet.store.url}: {_what_goes(removal)}.", as_json=as_json)


def _pack_of_this_machine(source: str, settings: "Settings", store: "ObjectStore") -> "Pack":
    """A pack in a folder, or in the cache by its digest, its first digits, or what a name means in the store."""
    from jobs.avatars import is_digits, resolve, the_one
    from workers.avatar.cache import cached_pack, cached_packs
    from workers.avatar.pack import open_pack

    if Path(source).is_dir():
        return open_pack(Path(source))
    digests = (pack.digest for pack in cached_packs(settings.cache))
    found = the_one(source, digests) if is_digits(source) else None
    return cached_pack(found or resolve(source, store), settings.cache)


def _confirm(removal: "Removal", store: "ObjectStore") -> None:
    what = f"This removes from {store.url}: {_what_goes(removal)}."
    if sys.stdin is None or not sys.stdin.isatty():  # None when it was closed
        raise Rejected(f"{what} Nobody can be asked here, so repeat it with --yes; nothing was removed.")
    say(f"{what} Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Rejected("Nothing was removed.")


def _what_goes(removal: "Removal") -> str:
    names = f"{'name' if len(removal.names) == 1 else 'names'} {', '.join(removal.names)}" if removal.names else ""
    if removal.digest is None:
        return f"{printable(names)}, which is damaged and means no pack"
    if not removal.pack:
        return f"{names}; the pack {removal.digest} stays, since it is also called {', '.join(removal.kept_by)}"
    pack = f"pack {removal.pack}, {removal.size / 1e6:.1f} MB"
    return " and ".join(part for part in (names, pack) if part)
