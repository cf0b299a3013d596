"""Temporary folders for the files of one part of a job, and what remains of them after a power cut."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.errors import Failed

PREFIX = "lipsync-"
LOCK = ".lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that vanishes with everything in it; `TMPDIR` says where. Locked, so that nobody sweeps it away.

    Raises:
        Failed: no temporary folder can be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        unlocked = folder / f"{LOCK}.new"
        lock = unlocked.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        unlocked.rename(folder / LOCK)  # by this name only once it is locked
    except OSError as error:
        raise Failed(f"No temporary folder can be made ({error.strerror}): free some space or set TMPDIR.") from error
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch() -> None:
    """Delete the folders of processes that were killed: those of ours that nobody holds locked."""
    for lock_file in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock_file.open("r+") as lock:
            if os.fstat(lock.fileno()).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_file.parent, ignore_errors=True)
