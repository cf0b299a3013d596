"""A page of memory that a worker's two processes share: the child writes what it does, the parent tells the fleet.

The child may be busy in native code for long, or gone; the parent's pulse must not wait for it. Numbers stand at fixed
places and are written whole; the text is valid once its length is.
"""

import json
import mmap
import struct
from contextlib import suppress
from typing import Any, Final, NamedTuple

_NUMBERS: Final = struct.Struct("=QQdd")
_LENGTH: Final = struct.Struct("=I")
_TEXT_AT: Final = _NUMBERS.size + _LENGTH.size
_BYTES: Final = mmap.PAGESIZE


class Work(NamedTuple):
    """What a child has done since it started.

    Attributes:
        proved: whether it was loaded and proved.
        frames: rendered, those of chunks that came to nothing included.
        paced_frames: frames of the chunks that were rendered to their end.
        paced_s: seconds that those took.
    """

    proved: bool = False
    frames: int = 0
    paced_frames: float = 0.0
    paced_s: float = 0.0


class Noticeboard:
    """Made before the fork."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _BYTES)
        self._work = Work()

    # --- the child ----------------------------------------------------------------------------------------------

    def introduce(self, facts: dict[str, Any]) -> None:
        """A child that replaces another starts from nothing; `facts` are what only it knows of the device."""
        text = json.dumps(facts).encode()[: _BYTES - _TEXT_AT]
        _LENGTH.pack_into(self._page, _NUMBERS.size, 0)
        self._page[_TEXT_AT : _TEXT_AT + len(text)] = text
        _LENGTH.pack_into(self._page, _NUMBERS.size, len(text))
        self._write(Work(proved=True))

    def frame(self) -> None:
        """One more frame is rendered."""
        self._write(self._work._replace(frames=self._work.frames + 1))

    def chunk(self, frames: int, seconds: float) -> None:
        """A chunk is rendered: the pace follows the last few, whatever came before."""
        fade = 0.7
        work = self._work
        self._write(
            work._replace(paced_frames=fade * work.paced_frames + frames, paced_s=fade * work.paced_s + seconds)
        )

    def _write(self, work: Work) -> None:
        self._work = work
        _NUMBERS.pack_into(self._page, 0, work.proved, work.frames, work.paced_frames, work.paced_s)

    # --- the parent ---------------------------------------------------------------------------------------------

    def work(self) -> Work:
        """What the child has done."""
        proved, frames, paced_frames, paced_s = _NUMBERS.unpack_from(self._page, 0)
        return Work(bool(proved), frames, paced_frames, paced_s)

    def facts(self) -> dict[str, Any]:
        """What the child said when it introduced itself; nothing while it writes."""
        (length,) = _LENGTH.unpack_from(self._page, _NUMBERS.size)
        with suppress(ValueError):
            return dict(json.loads(self._page[_TEXT_AT : _TEXT_AT + length] or b"{}"))
        return {}
