"""One digest for a tree of files, whatever form it travels in: a folder, a mounted image, an unpacked archive.

`release.json` in the root names the digest, so its fields `id` and `tree_sha256` are not counted.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

Form = Literal["squashfs", "tar.zst"]
"""How a tree travels in one file: an image to mount, or an archive to unpack."""
FORMS: Final[tuple[Form, ...]] = ("squashfs", "tar.zst")
RELEASE_JSON: Final = "release.json"
ID_DIGITS: Final = 16
_BLOCK_BYTES: Final = 1 << 20


def tree_files(root: Path) -> Iterator[Path]:
    """Everything below `root`, folders before their content, sorted by the bytes of the relative path."""
    with os.scandir(root) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from tree_files(Path(entry.path))


def tree_sha256(root: Path) -> str:
    """SHA-256 over kind, permissions, path and content of everything below `root`; owners and times do not count."""
    digest = hashlib.sha256()
    for path in tree_files(root):
        name = path.relative_to(root).as_posix()
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            kind, content = "link", hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
        elif stat.S_ISDIR(status.st_mode):
            kind, content = f"folder {stat.S_IMODE(status.st_mode):o}", ""
        else:
            kind = f"file {stat.S_IMODE(status.st_mode):o}"
            content = _uncounted(path) if name == RELEASE_JSON else file_sha256(path)
        digest.update(f"{kind} {content} ".encode() + os.fsencode(name) + b"\0")
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in constant memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _uncounted(release: Path) -> str:
    facts = json.loads(release.read_bytes())
    counted = {name: value for name, value in facts.items() if name not in {"id", "tree_sha256"}}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
