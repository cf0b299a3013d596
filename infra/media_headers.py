"""What the headers of audio files claim, read byte by byte: decoders believe them, or repair them in silence."""

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.errors import Rejected
from infra.media_source import require_plausible

WAV_MAGIC: Final = frozenset({b"RIFF", b"RIFX", b"RF64"})
_STREAMED: Final = 0xFFFFFFFF  # data size of a WAV that was written to a pipe, or whose size stands in a ds64 chunk
_PLAIN_TAGS: Final = {1, 3, 6, 7}  # PCM, float, A-law, mu-law: bits, block and byte rate follow from each other
_EXTENSIBLE: Final = 0xFFFE  # the real format tag begins the GUID at offset 24
_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # each byte with its bits reversed


@dataclass(frozen=True)
class WavHeader:
    """Bytes per frame, and of the whole audio: 0 or None when the writer did not know (0 may also be true)."""

    block_bytes: int
    data_bytes: int | None


def read_wav_header(path: Path) -> WavHeader | None:
    """Walk the chunks of a WAV up to its audio.

    Args:
        path: a file that begins with one of `WAV_MAGIC`.

    Returns:
        What the header says; None when it cannot be checked: compressed audio, or missing chunks.

    Raises:
        Rejected: the header's numbers contradict each other, or no recording has them.
    """
    with path.open("rb") as file:
        order = ">" if file.read(12)[:4] == b"RIFX" else "<"
        large: int | None = None
        block = 0
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack(f"{order}4sI", chunk)
            if name == b"data":
                return WavHeader(block, large if size == _STREAMED else size) if block else None
            body = file.read(size) if name in {b"fmt ", b"ds64"} else b""
            if name == b"ds64" and len(body) >= 16:
                large = struct.unpack("<Q", body[8:16])[0] or None
            elif name == b"fmt " and len(body) >= 16:
                tag, channels, rate, byte_rate, block, bits = struct.unpack(f"{order}HHIIHH", body[:16])
                if tag == _EXTENSIBLE and len(body) >= 26:
                    tag = struct.unpack(f"{order}H", body[24:26])[0]
                if tag not in _PLAIN_TAGS:
                    return None
                require_plausible(path, rate, channels)
                if not block or block != channels * -(-bits // 8) or byte_rate != rate * block:
                    raise Rejected(
                        f"{path} has a header that contradicts itself ({channels} x {bits} bits at {rate} Hz, "
                        f"but {block} bytes per frame and {byte_rate} bytes per second): export it again."
                    )
            file.seek(size + size % 2 - len(body), 1)
    return None


def ogg_intact_bytes(path: Path) -> tuple[int, bool]:
    """Walk the pages of an OGG file (RFC 3533, section 6), proving each by its checksum.

    Decoders leave out a broken page and go on behind it, as if nothing was missing.

    Returns:
        Length in bytes of the intact pages from the start, and whether the last of them is marked as the last of all.
    """
    intact, last = 0, False
    with path.open("rb") as file:
        while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
            table = file.read(head[26])
            body = file.read(sum(table))
            zeroed = head[:22] + bytes(4) + head[26:] + table + body
            if len(zeroed) != 27 + head[26] + sum(table) or _ogg_checksum(zeroed) != head[22:26]:
                break
            intact, last = intact + len(zeroed), bool(head[5] & 4)
    return intact, last


def _ogg_checksum(page: bytes) -> bytes:
    """Checksum of a page, four bytes: zlib's CRC-32 run backwards in every byte, from 0 and without a final XOR."""
    mirrored = zlib.crc32(page.translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return mirrored.to_bytes(4, "big").translate(_MIRROR)


def mp3_frames(path: Path) -> int | None:
    """Number of frames that the table in the first frame of an mp3 claims; None when there is no such table."""
    with path.open("rb") as file:
        head = file.read(10)
        # The size of an ID3 tag is four times seven bits, its own ten bytes not included.
        tagged = head[:3] == b"ID3" and len(head) == 10
        file.seek(10 + sum(head[6 + i] << (21 - 7 * i) for i in range(4)) if tagged else 0)
        first = file.read(2048)
    # Xing (LAME and FFmpeg write it, as Info when the rate is constant): name, flags, frames when flag 1 is set.
    found = re.search(rb"(?:Xing|Info)...[\x01\x03\x05\x07\x09\x0b\x0d\x0f](....)", first, re.DOTALL)
    # VBRI (Fraunhofer): name, version, delay, quality, bytes, frames.
    found = found or re.search(rb"VBRI.{10}(....)", first, re.DOTALL)
    return int.from_bytes(found[1], "big") if found else None
