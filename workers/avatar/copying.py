"""Copies of packs on this machine: the same pack in another folder, or one that carries another consent."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from infra.errors import Rejected
from infra.store_directory import file_error
from jobs.avatar_spec import AVATAR_JSON, AvatarSpec, Consent
from workers.avatar.pack import Pack, open_pack, seal


def with_consent(pack: Pack, consent: Consent, root: Path) -> Pack:
    """Make another pack of the same avatar that carries this consent.

    Args:
        pack: a pack with another consent, or none.
        consent: what the new pack carries.
        root: folder to make.
    """
    try:
        _copy(pack.root, sorted(pack.spec.files), root)
    except OSError as error:
        raise file_error(f"Copying the avatar {pack.root} to {root}", error) from error
    kept = {name: getattr(pack.spec, name) for name in AvatarSpec.model_fields if name not in {"files", "consent"}}
    return seal(root, **kept, consent=consent)


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that a pack could not become, before anything is fetched for it.

    Raises:
        Rejected: it holds something, is no folder, or its parent is none that may be written to.
    """
    parent = folder.absolute().parent
    try:
        if folder.is_symlink() or folder.exists():
            if not folder.is_dir() or any(folder.iterdir()):
                raise Rejected(f"{folder} exists and is not an empty folder: name one that is to be made.")
        elif not parent.is_dir():
            raise Rejected(f"{parent} is not a folder, so {folder.name} cannot be made there.")
    except OSError as error:
        raise file_error(f"Looking at {folder}", error) from error
    if not os.access(parent, os.W_OK):
        raise Rejected(f"{parent} may not be written to, so {folder.name} cannot be put there.")


def copy_pack(pack: Pack, folder: Path) -> Pack:
    """Copy a pack to a folder that does not exist or is empty; it appears whole and proved, or not at all.

    Raises:
        Rejected: the folder cannot become a pack.
        Failed: it cannot be written.
    """
    check_new_folder(folder)
    target = folder.resolve()
    unfinished = target.with_name(f".lipsync-{uuid4().hex}")
    try:
        _copy(pack.root, [*sorted(pack.spec.files), AVATAR_JSON], unfinished)
        copy = open_pack(unfinished, pack.digest)
        unfinished.rename(target)
    except OSError as error:
        raise file_error(f"Copying avatar {pack.digest} to {folder}", error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return replace(copy, root=target)


def _copy(source: Path, files: list[str], root: Path) -> None:
    for name in files:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
