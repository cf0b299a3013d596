"""A temporary folder for the files of one part of a job."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import Failed


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that vanishes with everything in it; `TMPDIR` says where.

    Raises:
        Failed: no temporary folder can be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="lipsync-", ignore_cleanup_errors=True)
    except OSError as error:
        raise Failed(f"No temporary folder can be made ({error.strerror}): free some space or set TMPDIR.") from error
    with folder as name:
        yield Path(name)
