"""The encoders of H.264: how each is told the same quality, and whether this machine has it."""

import time
from fractions import Fraction
from typing import Final, Literal, NamedTuple

import av
import numpy as np

from infra.errors import Rejected

Codec = Literal["libx264", "h264_nvenc"]

_X264: Final = {"x264-params": "open-gop=0:scenecut=0:force-cfr=1"}
_NVENC: Final = {
    "profile": "high",
    "rc": "vbr",  # with `cq` and without a bit rate: constant quality
    "forced-idr": "1",
    "strict_gop": "1",
    "no-scenecut": "1",
}
# NVENC's presets go from p1, fast, to p7; p4 is its default, as veryfast is ours.
_NVENC_PRESETS: Final = {
    "ultrafast": "p1",
    "superfast": "p2",
    "veryfast": "p4",
    "faster": "p4",
    "fast": "p5",
    "medium": "p5",
    "slow": "p6",
    "slower": "p7",
    "veryslow": "p7",
}
_PROBE_FRAMES: Final = 3
_PROBE_AGAIN_S: Final = 60.0
_PROBE_PX: Final = 256  # some cards encode nothing smaller than 160 pixels


def encoder_options(codec: Codec, crf: int, preset: str, device: int = 0) -> dict[str, str]:
    """Options of a codec for constant frame rate, closed GOPs of one length, and constant quality.

    Args:
        codec: the encoder.
        crf: quality in x264's terms, 0 (lossless) to 51.
        preset: speed in x264's terms.
        device: index of the NVIDIA card that encodes.
    """
    if codec == "libx264":
        return {"crf": str(crf), "preset": preset} | _X264
    quality = {"cq": str(crf), "tune": "hq"} if crf else {"tune": "lossless"}
    return {"preset": _NVENC_PRESETS[preset], "gpu": str(device)} | quality | _NVENC


def encoding_problem(codec: Codec, device: int = 0) -> str | None:
    """Why this process cannot encode with a codec, one sentence; None when it can.

    That a library has an encoder says nothing about the machine, so a few frames are encoded: once when that succeeds,
    and every minute when it fails, since a card may have had as many encoders open as it can.
    """
    found = _found.get((codec, device))
    if found is None or (found.problem and time.monotonic() > found.until_s):
        found = _found[codec, device] = _Found(_problem(codec, device), time.monotonic() + _PROBE_AGAIN_S)
    return found.problem


class _Found(NamedTuple):
    problem: str | None
    until_s: float


_found: dict[tuple[Codec, int], _Found] = {}


def _problem(codec: Codec, device: int) -> str | None:
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)  # the error itself says no more than "not permitted"
    with av.logging.Capture() as said:
        try:
            _encode_some(codec, device)
        except (av.FFmpegError, ValueError) as error:  # the second where the library has no such encoder at all
            # FFmpeg says a thing once: when it was said before, only the error may still know it.
            told = said[-1] if said else getattr(error, "log", None)
            reason = told[2].strip() if told else getattr(error, "strerror", None) or str(error)
            return f"This machine cannot encode with {codec} ({reason})."
        finally:
            av.logging.set_level(level)
    return None


def _encode_some(codec: Codec, device: int) -> None:
    context = av.CodecContext.create(codec, "w")
    context.width = context.height = _PROBE_PX
    context.pix_fmt = "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.bit_rate, context.max_b_frames = 0, 0
    context.options = encoder_options(codec, 20, "veryfast", device)
    frame = av.VideoFrame.from_ndarray(np.full((_PROBE_PX * 3 // 2, _PROBE_PX), 128, np.uint8), format="yuv420p")
    for index in range(_PROBE_FRAMES):
        frame.pts = index
        context.encode(frame)
    context.encode(None)


def demand_encoder(codec: Codec, device: int = 0) -> None:
    """Refuse to begin what could not be encoded here.

    Raises:
        Rejected: this machine lacks the encoder.
    """
    problem = encoding_problem(codec, device)
    if problem:
        raise Rejected(f"{problem} h264_nvenc needs an NVIDIA card with an encoder and its driver; libx264 needs none.")
