"""Whether a template clip will look well and fit into memory, be it of a source or of a pack. No I/O."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from infra.settings import Settings
from jobs.avatar_spec import Box, FrameSize
from jobs.timing import FPS
from workers.avatar.findings import Finding, some
from workers.avatar.template import frame_bytes

_SHORT_FRAMES: Final = 2 * FPS  # played forward and back, the same nod returns every four seconds
_LONG_FRAMES: Final = 300 * FPS  # five minutes, what people record to train on; a template gains nothing from it
_REPEATED: Final = 0.035  # of the frames: a film of 24 frames per second, made 25 by repeating, has 4 %
_MB: Final = 1_000_000

# Measured on a worker with the networks of the contract on one CPU thread: 115 MB once its modules are loaded, three
# times the size of both network files when they are prepared to run, and 345 MB for each frame that is drawn at a time.
_MODULES_BYTES: Final = 115 * _MB
_PREPARED: Final = 3
_BATCH_BYTES: Final = 345 * _MB
_WORKER_MB: Final = 4_000
_TEMPLATE_MB: Final = 8_000  # half the memory of a common host, which then keeps all frames at hand


def clip_findings(prints: Sequence[int]) -> Iterator[Finding]:
    """Look at the length of a clip, and for frames that are the same.

    Args:
        prints: fingerprints of the decoded frames, in order.
    """
    frames = len(prints)
    if 1 < frames < _SHORT_FRAMES:
        sentence = (
            f"The template clip has {frames} frames, and since it is played forward and back, its motion returns every "
            f"{2 * (frames - 1) / FPS:.1f} s: record some ten seconds or more."
        )
        yield Finding("warning", "clip-length", sentence)
    if frames > _LONG_FRAMES:
        sentence = (
            f"The template clip lasts {frames / FPS / 60:.0f} minutes, which costs time and memory on every host: cut "
            "it to half a minute, it is played forward and back."
        )
        yield Finding("warning", "clip-length", sentence)
    repeated = [frame for frame, (before, now) in enumerate(pairwise(prints), 1) if before == now]
    if frames == 1 or (repeated and len(repeated) == frames - 1):
        sentence = (
            "The template shows one still picture: nothing but the mouth will move, so record a clip if that is wrong."
        )
        yield Finding("warning", "frozen-frames", sentence)
    elif len(repeated) > _REPEATED * frames:
        sentence = (
            f"{len(repeated)} of {frames} template frames ({some(repeated)}) are the same as the one before, which is "
            f"seen as stutter: record at {FPS} frames per second instead of converting from fewer."
        )
        yield Finding("warning", "frozen-frames", sentence)


def memory_findings(
    frames: int,
    size: FrameSize,
    boxes: Sequence[Box],
    mask_bytes: int,
    network_bytes: int,
    batch: int,
    settings: Settings,
) -> Iterator[Finding]:
    """Estimate what an avatar takes on a worker's host.

    Args:
        frames: template frames.
        size: of a frame.
        boxes: crop boxes, as far as they are known.
        mask_bytes: of all masks that are made of parsing maps, one byte per pixel of a crop box.
        network_bytes: size of both network files.
        batch: frames that are drawn at a time.
        settings: those of this host.
    """
    each_bytes = frame_bytes(size, boxes)
    template_mb = round((frames * each_bytes + mask_bytes) / _MB)
    worker_mb = round((_MODULES_BYTES + _PREPARED * network_bytes + batch * _BATCH_BYTES) / _MB)
    bank = f"{settings.cache_mb} MB" if settings.cache_mb else "a quarter of the free memory (see LIPSYNC_CACHE_MB)"
    sentence = (
        f"A worker needs up to about {worker_mb} MB for itself (networks, {batch} of their frames at a time), on a CPU "
        f"up to {bank} more for what it keeps of template frames, and the decoded template {template_mb} MB in its "
        "host's cache, mapped into memory and shared by all workers there."
    )
    yield Finding("note", "memory", sentence)
    if worker_mb > _WORKER_MB:
        sentence = (
            f"Drawing {batch} frames at a time takes about {worker_mb} MB in each worker: export the networks with a "
            "batch axis that is free, or choose a smaller LIPSYNC_BATCH."
        )
        yield Finding("warning", "memory", sentence)
    allowed_mb = settings.cache_disk_mb
    bound_mb = _TEMPLATE_MB if allowed_mb is None else min(allowed_mb, _TEMPLATE_MB)
    if template_mb > bound_mb:
        least = "LIPSYNC_CACHE_DISK_MB allows" if bound_mb == allowed_mb else "a common host keeps in memory"
        sentence = (
            f"The decoded template takes {template_mb} MB, more than the {bound_mb} MB that {least}: cut the clip to "
            f"{bound_mb * _MB // each_bytes} frames, or scale it down and detect its landmarks again."
        )
        yield Finding("warning", "memory", sentence)
