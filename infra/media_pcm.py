"""WAV, FLAC and OGG through soundfile."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile

from infra.errors import Rejected
from infra.media_headers import WAV_MAGIC, ogg_intact_bytes, read_wav_header
from infra.media_source import AudioSource, Block, Damaged

_BLOCK_FRAMES: Final = 4096  # what comes with a decoding error is lost, so small: libFLAC's own usual block
_UNKNOWN_FRAMES: Final = 2**62  # libsndfile's answer for a FLAC without a length is 2^63 - 1

if TYPE_CHECKING:
    from typing_extensions import Buffer


class UnknownToSoundfile(Exception):
    """Soundfile cannot open the file; FFmpeg may."""


class PlainSource(AudioSource):
    """A WAV, FLAC or OGG file."""

    def __init__(self, path: Path, *, allow_truncated: bool) -> None:
        with path.open("rb") as file:
            magic = file.read(4)
        frames: int | None = None
        if magic in WAV_MAGIC:
            header = read_wav_header(path)
            # Libsndfile takes a length of 0 at its word; FFmpeg knows that such a file was streamed.
            if header is None or header.data_bytes == 0:
                raise UnknownToSoundfile
            frames = header.data_bytes // header.block_bytes if header.data_bytes else None
        contents: Path | _Beginning = path
        if magic == b"OggS":
            intact_bytes, finished = ogg_intact_bytes(path)
            self.cut_short = not finished
            contents = path if finished else _Beginning(path, intact_bytes)
        try:
            self._file = _Forward(contents)
        except soundfile.LibsndfileError:
            raise UnknownToSoundfile from None
        try:
            super().__init__(path, self._file.samplerate, self._file.channels, allow_truncated=allow_truncated)
        except Rejected:
            self.close()
            raise
        if magic not in WAV_MAGIC and not self.cut_short and self._file.frames < _UNKNOWN_FRAMES:
            frames = self._file.frames
        self.declared_s = None if frames is None else frames / self.sample_rate

    def close(self) -> None:
        self._file.close()

    def _decode(self) -> Iterator[Block]:
        while True:
            try:
                block = self._file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                raise Damaged from None
            if not len(block):
                return
            yield np.asarray(block, np.float32)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads from beginning to end: soundfile seeks around each block otherwise, which a damaged FLAC does not stand."""

    def seekable(self) -> bool:
        return False


class _Beginning(io.FileIO):
    """The first `size` bytes of a file, as if there were no more."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(path)
        self._size = size

    def readinto(self, buffer: "Buffer", /) -> int:
        rest = max(self._size - self.tell(), 0)
        return super().readinto(memoryview(buffer)[:rest])

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(offset + self._size) if whence == io.SEEK_END else super().seek(offset, whence)
