"""Opening audio: which decoder reads a file follows from its first bytes, never from its name.

Soundfile reads WAV, FLAC and OGG; PyAV reads everything else, and what soundfile does not know of those.
"""

from pathlib import Path
from stat import S_ISREG

from infra.errors import NotFound, Rejected
from infra.media_container import ContainerSource
from infra.media_pcm import PlainSource, UnknownToSoundfile
from infra.media_source import AudioSource

__all__ = ["AudioSource", "open_audio"]


def open_audio(path: Path, *, allow_truncated: bool = False) -> AudioSource:
    """Open a file of any usual format to decode its (first) audio track.

    Args:
        path: audio or video file.
        allow_truncated: accept a file whose end is missing or damaged, up to there.

    Raises:
        Rejected: the file is missing, unreadable, empty, no media, has no audio track or a header that lies.
    """
    try:
        facts = path.stat()
        if not S_ISREG(facts.st_mode):
            raise Rejected(f"{path} is not a file: name an audio or video file.")
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist.") from None
    except OSError as error:
        raise Rejected(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
    if not head:
        raise Rejected(f"{path} is empty: name a file with audio in it.")
    if head[:4] in {b"fLaC", b"OggS"} or (head[:4] in {b"RIFF", b"RIFX", b"RF64"} and head[8:12] == b"WAVE"):
        try:
            return PlainSource(path, allow_truncated=allow_truncated)
        except UnknownToSoundfile:
            pass
    return ContainerSource(path, allow_truncated=allow_truncated)
