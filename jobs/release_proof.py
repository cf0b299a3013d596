"""Proof that a tree on a host is the release it claims to be."""

import sys
from pathlib import Path

from infra.errors import Damaged, NotFound
from infra.release_record import TreeRecord, read_tree_record
from infra.store_directory import file_error
from infra.tree_digest import RELEASE_JSON, tree_sha256


def prove(root: Path | None = None) -> TreeRecord:
    """Compare every file of a tree with the digest in its `release.json`.

    Args:
        root: of the tree; by default that of the running interpreter.

    Raises:
        NotFound: it is no tree of a release.
        Damaged: something was changed, added or lost.
    """
    root = root or Path(sys.prefix)
    record = read_tree_record(root / RELEASE_JSON)
    if record is None:
        raise NotFound(f"{root} holds no {RELEASE_JSON}: name the folder of a release.")
    try:
        found = tree_sha256(root)
    except OSError as error:
        raise file_error(f"Reading {root}", error) from error
    if found != record.tree_sha256:
        raise Damaged(f"Release {record.id} in {root} was changed since it was built: deploy it again.")
    return record
