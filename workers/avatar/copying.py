"""Copies of packs on this machine: the same pack in another folder, or one with another licence or consent."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from infra.errors import Rejected
from infra.store_directory import file_error
from jobs.avatar_spec import AVATAR_JSON, AvatarSpec, Consent
from workers.avatar.pack import Pack, open_pack, seal


def resealed(pack: Pack, root: Path, *, licence: str | None = None, consent: Consent | None = None) -> Pack:
    """Make another pack of the same avatar that carries another licence or consent.

    Args:
        pack: what it is made of; returned itself when it carries these already.
        root: folder to make.
        licence: of the new pack; None for that of the old one.
        consent: likewise.
    """
    changed = {
        name: value
        for name, value in (("licence", licence), ("consent", consent))
        if value is not None and value != getattr(pack.spec, name)
    }
    if not changed:
        return pack
    try:
        copy_files({name: pack.root / name for name in sorted(pack.spec.files)}, root)
    except OSError as error:
        raise file_error(f"Copying the avatar {pack.root} to {root}", error) from error
    kept = {name: getattr(pack.spec, name) for name in AvatarSpec.model_fields if name != "files"}
    return seal(root, **(kept | changed))


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that a pack could not become, before anything is fetched for it.

    Raises:
        Rejected: it holds something, is no folder, or may not be made or written to.
    """
    parent = folder.absolute().parent
    try:
        exists = folder.is_symlink() or folder.exists()
        if exists and (not folder.is_dir() or any(folder.iterdir())):
            raise Rejected(f"{folder} exists and is not an empty folder: name one that is to be made.")
        if not exists and not parent.is_dir():
            raise Rejected(f"{parent} is not a folder, so {folder.name} cannot be made there.")
    except OSError as error:
        raise file_error(f"Looking at {folder}", error) from error
    if exists and not os.access(folder, os.W_OK):
        raise Rejected(f"{folder} may not be written to, so no avatar can be put there.")
    if not exists and not os.access(parent, os.W_OK):
        raise Rejected(f"{parent} may not be written to, so {folder.name} cannot be put there.")


def copy_pack(pack: Pack, folder: Path) -> Pack:
    """Copy a pack to a folder that does not exist or is empty, and stays the folder it is.

    Proved files move to their places, `avatar.json` as the last: until then the folder is no pack. A copy that breaks
    off leaves nothing.

    Raises:
        Rejected: the folder cannot become a pack.
        Failed: it cannot be written.
    """
    check_new_folder(folder)
    target = folder.resolve()
    unfinished = target / f".lipsync-{uuid4().hex}"
    ours = {unfinished.name, *(name.partition("/")[0] for name in [*pack.spec.files, AVATAR_JSON])}
    try:
        with _filling(target, ours):
            copy_files({name: pack.root / name for name in [*sorted(pack.spec.files), AVATAR_JSON]}, unfinished)
            copy = open_pack(unfinished, pack.digest)
            for name in sorted(ours - {unfinished.name}, key=lambda name: name == AVATAR_JSON):
                (unfinished / name).rename(target / name)
            unfinished.rmdir()
    except OSError as error:
        raise file_error(f"Copying avatar {pack.digest} to {folder}", error) from error
    return replace(copy, root=target)


@contextmanager
def _filling(folder: Path, entries: set[str]) -> Iterator[None]:
    """Make a folder unless it is there; when the block breaks off, its new entries go, and the folder if it is new."""
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        yield
    except BaseException:
        for entry in entries:
            shutil.rmtree(folder / entry, ignore_errors=True)
            with suppress(OSError):
                (folder / entry).unlink()
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise


def copy_files(files: Mapping[str, Path], root: Path) -> None:
    """Copy files into a folder that is to be made; `files` maps relative paths there to the files to copy."""
    for name, path in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
