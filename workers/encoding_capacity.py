"""Whether a worker's CPU cores keep up with its device when they encode with libx264. Pure."""

from typing import Final

from jobs.avatar_spec import FrameSize
from jobs.manifest import Preset

# Milliseconds of one core for a frame of 1280x720. What veryfast takes was seen beside a GPU, 178 frames/s on three
# logical cores; the others are in proportion to it, measured on drawn and on noisy pictures.
_CORE_MS: Final[dict[Preset, int]] = {
    "ultrafast": 7,
    "superfast": 13,
    "veryfast": 17,
    "faster": 29,
    "fast": 49,
    "medium": 56,
    "slow": 100,
    "slower": 130,
    "veryslow": 220,
}
_PIXELS: Final = 1280 * 720


def cores_wanted(frames_per_s: float, size: FrameSize, preset: Preset = "veryfast") -> float:
    """How many cores encode so many frames of a size in a second; camera pictures take more than drawn ones."""
    return frames_per_s * _CORE_MS[preset] / 1000 * size.width * size.height / _PIXELS


def core_shortage(frames_per_s: float, size: FrameSize, cores: int, preset: Preset = "veryfast") -> str | None:
    """Say that the encoder will hold up the device, one sentence; None when it will not.

    Args:
        frames_per_s: what the device can paint.
        size: of the avatar's frames.
        cores: that this worker may use.
        preset: of the jobs; unless they say otherwise they have this one.
    """
    wanted = cores_wanted(frames_per_s, size, preset)
    if wanted <= cores:
        return None
    return (
        f"The device paints {frames_per_s:.0f} frames/s, and encoding {size.width}x{size.height} that fast takes about "
        f"{wanted:.0f} CPU cores with the preset {preset} where this worker has {cores}: give it more of them, or "
        "submit with a faster --preset."
    )
