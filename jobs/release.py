"""Which release of the product this process runs from."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from infra.release_record import read_tree_record
from infra.tree_digest import RELEASE_JSON


@dataclass(frozen=True)
class Release:
    """A release: its version with the label of the build, and, where it is an artefact, what that is for and its id."""

    version: str
    variant: str | None = None
    id: str | None = None


def current_release(root: Path | None = None) -> Release:
    """The release that this process runs from.

    Args:
        root: of the tree with the interpreter; by default that of the running one.

    Raises:
        Damaged: the tree's `release.json` is none.
    """
    record = read_tree_record((root or Path(sys.prefix)) / RELEASE_JSON)
    if record is None:
        return Release(version("lipsync-fleet"))
    return Release(record.version, record.variant, record.id)
