"""The two forms of a tree: a squashfs image to mount, an archive to unpack. The same tree gives the same bytes."""

import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, cast

from infra.artefact.running import run
from infra.errors import Failed
from infra.tree_digest import tree_files

MADE_S: Final = 315_532_800
"""When every file claims to have been changed, in seconds since the epoch: 1980, where the youngest format begins."""

SQUASHFS_LEVEL: Final = 9  # 15 takes five times as long for 6 % less
SQUASHFS_BLOCK: Final = "256K"
TAR_LEVEL: Final = 9


def pack_squashfs(tree: Path, image: Path) -> None:
    """Write the image: zstd, everything owned by root."""
    run(
        [
            *("mksquashfs", tree, image, "-noappend", "-no-progress", "-quiet", "-all-root", "-no-xattrs"),
            *("-mkfs-time", str(MADE_S), "-all-time", str(MADE_S), "-no-exports"),
            *("-comp", "zstd", "-Xcompression-level", str(SQUASHFS_LEVEL), "-b", SQUASHFS_BLOCK),
        ],
        f"Packing {image.name}",
    )


def pack_tar(tree: Path, archive: Path) -> None:
    """Write the archive: a tar of sorted entries owned by root, compressed by zstd."""
    command = ["zstd", "--quiet", "--force", "-T0", f"-{TAR_LEVEL}", "-o", str(archive)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as zstd,
        suppress(BrokenPipeError),  # it ended early: its code tells
        cast(IO[bytes], zstd.stdin) as pipe,
    ):
        _write_tar(tree, pipe)
    if zstd.returncode:
        raise Failed(f"Packing {archive.name} failed: zstd ended with {zstd.returncode}; is there room on the disk?")


def _write_tar(tree: Path, out: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for path in tree_files(tree):
            entry = tar.gettarinfo(path, path.relative_to(tree).as_posix())
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = MADE_S
            if entry.islnk():
                raise Failed(f"{path} has two names in the tree, which the archive cannot hold: copy it instead.")
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)


def normalise(tree: Path) -> None:
    """Give every file the permissions that do not depend on who built it: 755 for programs and folders, else 644."""
    for path in [tree, *tree_files(tree)]:
        if path.is_symlink():
            continue
        mode = path.stat().st_mode & 0o777
        wanted = 0o755 if path.is_dir() or mode & 0o100 else 0o644
        if mode != wanted:
            path.chmod(wanted)
