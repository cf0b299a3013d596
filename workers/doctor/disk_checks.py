"""The folders that a worker writes to: the cache, and those for temporary files. Each is tried with a real file."""

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workers.doctor.findings import Code, Finding, error, warning
from workers.doctor.outcome import spell_bytes

_PROBE = bytes(1 << 20)
TEMP_BYTES = 1_000_000_000
"""A chunk's segment needs a few megabytes of it; joining a long video needs room for all of that."""
_MB = 1_000_000


@dataclass(frozen=True)
class FolderFacts:
    """A folder, and what writing to it brought.

    Attributes:
        path: the folder.
        problem: number of the error (`errno`) when a file could not be written; 0 when it could.
        free_bytes: on its disk, for this user.
        used_bytes: by what the folder itself holds; 0 where nobody asked.
        owner: user id of the folder's owner.
        user: of this process.
    """

    path: Path
    problem: int
    free_bytes: int
    used_bytes: int
    owner: int
    user: int


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:  # below a folder of somebody else's
        return False


def probe_folder(path: Path, *, measure: bool = False) -> FolderFacts:
    """Write a file of 1 MiB to a folder and delete it again.

    A folder that is not there is made for that, and removed: it must not belong to whoever runs the doctor.

    Args:
        path: the folder.
        measure: whether to add up what it holds.
    """
    problem = 0
    absent = [folder for folder in (path, *path.parents) if not _is_there(folder)]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-") as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as refused:
        problem = refused.errno or errno.EIO
    there = next(folder for folder in (path, *path.parents) if _is_there(folder))
    facts = FolderFacts(
        path=path,
        problem=problem,
        free_bytes=shutil.disk_usage(there).free,
        used_bytes=_size(path) if measure else 0,
        owner=there.stat().st_uid,
        user=os.geteuid(),
    )
    with suppress(OSError):  # somebody began to use it
        for made in absent:
            made.rmdir()
    return facts


def judge_cache(cache: FolderFacts, bound_mb: int) -> list[Finding]:
    """Whether the cache can be written and has the room that it may take.

    Args:
        cache: the folder.
        bound_mb: `LIPSYNC_CACHE_DISK_MB`.
    """
    if cache.problem:
        return [_unwritable(cache, "cache-not-writable", "cache-full", "the cache", "LIPSYNC_CACHE")]
    findings = []
    if cache.owner != cache.user:
        findings.append(
            warning(
                "other-user",
                f"The cache {cache.path} belongs to user {cache.owner} and this is user {cache.user}: run the doctor "
                "as the user of the workers, or its findings are not theirs.",
            )
        )
    room_bytes = cache.free_bytes + cache.used_bytes
    if room_bytes < bound_mb * _MB:
        findings.append(
            warning(
                "cache-disk-small",
                f"LIPSYNC_CACHE_DISK_MB lets the cache {cache.path} grow to {spell_bytes(bound_mb * _MB)}, and its "
                f"disk has room for {spell_bytes(room_bytes)}: set it lower, or free some space.",
            )
        )
    return findings


def judge_temp(temp: FolderFacts) -> list[Finding]:
    """Whether there is room for temporary files."""
    if temp.problem:
        return [_unwritable(temp, "temp-not-writable", "temp-not-writable", "the folder for temporary files", "TMPDIR")]
    if temp.free_bytes >= TEMP_BYTES:
        return []
    return [
        warning(
            "temp-small",
            f"The folder for temporary files {temp.path} has room for {spell_bytes(temp.free_bytes)}, and joining a "
            "long video needs room for all of it: free some space, or set TMPDIR to another disk.",
        )
    ]


def no_temp() -> Finding:
    """Where Python finds no folder for temporary files at all."""
    return error("temp-not-writable", "No folder for temporary files can be written: free some space, or set TMPDIR.")


def _unwritable(folder: FolderFacts, code: Code, full: Code, what: str, variable: str) -> Finding:
    if folder.problem in {errno.ENOSPC, errno.EDQUOT}:
        return error(full, f"The disk of {what} {folder.path} is full: free some space, or set {variable} to another.")
    return error(
        code,
        f"User {folder.user} cannot write to {what} {folder.path} ({os.strerror(folder.problem)}): give the folder to "
        f"that user, or set {variable} to another.",
    )


def _size(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += Path(folder, name).lstat().st_blocks * 512
            except OSError:  # it left the cache meanwhile
                continue
    return total
