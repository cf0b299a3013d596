"""Opening a media file for writing: every writer leaves either a whole file or none."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.container import OutputContainer

from infra.errors import Failed

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _WholeWrites(io.FileIO):
    """A file of which every write is complete or an error that is remembered.

    FFmpeg's own files lose an error that comes with the last write of all, and neither it nor PyAV looks whether a
    write was cut short; a disk that fills up at that moment would leave a broken file and a happy caller.
    """

    error: OSError | None = None

    def write(self, data: "Buffer", /) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return memoryview(data).nbytes


class Blocks:
    """Takes the place of a file and keeps what is written until somebody takes it; it cannot be sought in."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: "Buffer", /) -> int:
        """Append a copy of some bytes."""
        self._written.append(bytes(data))
        return memoryview(data).nbytes

    def take(self) -> bytes:
        """What was written since this was asked last."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


@contextmanager
def open_blocks(blocks: Blocks, movflags: str) -> Iterator[OutputContainer]:
    """Write MP4 into `blocks`; the flags must be some that need no seeking."""
    with av.open(blocks, "w", format="mp4", container_options={"movflags": movflags}) as container:
        yield container


@contextmanager
def open_output(path: Path, movflags: str, **options: str) -> Iterator[OutputContainer]:
    """Open `path` as MP4 for writing; on any exception the unfinished file is removed.

    Args:
        path: file to create or replace.
        movflags: flags of FFmpeg's MP4 muxer, e.g. `+faststart`.
        **options: further options of that muxer.

    Raises:
        Failed: the file cannot be written, e.g. because the disk is full.
    """
    file = None
    try:
        with (
            _WholeWrites(path.absolute(), "w") as file,
            av.open(file, "w", format="mp4", container_options={"movflags": movflags, **options}) as container,
        ):
            yield container
    except BaseException as error:
        path.unlink(missing_ok=True)
        if not isinstance(error, (OSError, av.FFmpegError)):
            raise
        cause = (file and file.error) or error
        reason = cause.strerror or type(cause).__name__
        raise Failed(f"Writing {path} failed ({reason}): check the free space and rights of its disk.") from error
