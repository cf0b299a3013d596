"""How many frames a generator draws at once: one on a CPU, and on an accelerator what a short run finds fastest."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from infra.errors import LipsyncError
from infra.settings import Settings
from jobs.scratch import scratch_folder
from workers.avatar.cache import speaking
from workers.avatar.networks.prepared import cut_halves
from workers.avatar.pack import Pack
from workers.painter import Painter
from workers.sessions import first_line, import_runtime, runtime_errors, wanted_provider
from workers.stopwatch import Stopwatch

log = structlog.get_logger(__name__)

CANDIDATES: Final = (1, 2, 4, 8, 16, 32, 64)
WORTH_IT: Final = 1.05
"""A larger batch must be faster by this much: it costs memory, and the first frames wait for it."""
TRIAL_S: Final = 0.5
TENSORRT_BATCH: Final = 8
"""TensorRT builds an engine for each size, which takes minutes: too long for a trial."""
MAX_BATCH: Final = 256
"""What LIPSYNC_BATCH may be at most, too."""


class Batch(NamedTuple):
    """How a generator is to be run."""

    frames: int
    """Output frames in one run."""
    frames_per_s: float | None = None
    """What the decoder half alone was seen to reach with it, where that was tried."""


def choose_batch(pack: Pack, crops: npt.NDArray[np.uint8], settings: Settings) -> Batch:
    """How many frames at a time: what was set, or what was found once on this kind of device.

    Args:
        pack: the avatar.
        crops: uint8 (N, 328, 328, 3), its template's.
        settings: what it will run on.
    """
    if settings.batch:
        return Batch(settings.batch)
    provider = wanted_provider(settings)
    if provider == "cpu":
        return Batch(1)
    if provider == "tensorrt":
        return Batch(TENSORRT_BATCH)
    found = settings.cache / "batches" / f"{_file_name(pack, provider, settings)}.json"
    if known := _known(found):
        return known
    rates = try_batches(pack, crops, settings, CANDIDATES)
    batch = best(rates)
    log.info("batch_chosen", avatar=pack.digest, batch=batch.frames, frames_per_s=rates)
    with speaking(f"Keeping the batch size in {found}"):
        found.parent.mkdir(parents=True, exist_ok=True)
        unfinished = found.with_suffix(f".{time.monotonic_ns()}")
        unfinished.write_text(json.dumps(batch))
        unfinished.replace(found)
    return batch


def try_batches(
    pack: Pack, crops: npt.NDArray[np.uint8], settings: Settings, candidates: Sequence[int], trial_s: float = TRIAL_S
) -> dict[int, float]:
    """Frames per second of the decoder half for batches of growing size, up to the first that is no faster."""
    rates: dict[int, float] = {}
    refusals: tuple[type[Exception], ...] = (LipsyncError, *runtime_errors())
    for batch in candidates:
        try:
            rate = _try(pack, crops, settings, batch, trial_s)
        except refusals as error:  # the memory is too small, or the batch fixed
            if not rates:
                raise
            log.warning("batch_refused", avatar=pack.digest, batch=batch, reason=first_line(error))
            break
        slower = bool(rates) and rate < max(rates.values())
        rates[batch] = round(rate, 1)
        if slower:
            break
    return rates


def best(rates: dict[int, float]) -> Batch:
    """The smallest batch after which no larger one is worth it."""
    chosen = min(rates)
    for batch in sorted(rates):
        if rates[batch] > rates[chosen] * WORTH_IT:
            chosen = batch
    return Batch(chosen, rates[chosen])


def _known(found: Path) -> Batch | None:
    """What a file tells of an earlier trial; None when there is none, or it says nothing that can be."""
    try:
        frames, frames_per_s = json.loads(found.read_text())
        batch = Batch(int(frames), float(frames_per_s))
    except (OSError, ValueError, TypeError, OverflowError):
        return None
    return batch if 1 <= batch.frames <= MAX_BATCH else None


def _try(pack: Pack, crops: npt.NDArray[np.uint8], settings: Settings, batch: int, trial_s: float) -> float:
    """Frames per second with a batch; its painter leaves the device before the next one needs the room."""
    with scratch_folder() as folder:  # most halves are of no use after their trial
        files = cut_halves(pack.generator, folder, settings, batch)
        painter = Painter(files, crops, settings, budget_bytes=0, batch=batch)
        return _rate(painter, batch, len(crops), trial_s)


def _rate(painter: Painter, batch: int, template_frames: int, trial_s: float) -> float:
    indices = [index % template_frames for index in range(batch)]
    heard = np.random.default_rng(0).random((batch, 32, 16, 16), np.float32)
    unwatched = Stopwatch()
    for _ in range(3):  # the first runs choose kernels and fill the bank
        painter.paint(indices, heard, unwatched)
    runs, start_s = 0, time.perf_counter()
    while (spent_s := time.perf_counter() - start_s) < trial_s:
        painter.paint(indices, heard, unwatched)
        runs += 1
    return runs * batch / spent_s


def _file_name(pack: Pack, provider: str, settings: Settings) -> str:
    runtime: Any = import_runtime()
    graphs = "-graphs" if settings.cuda_graphs else ""
    device = _device_name(settings.device)
    return f"{pack.digest}-{provider}-{device}-{settings.precision}{graphs}-onnxruntime{runtime.__version__}"


def _device_name(index: int) -> str:
    """The model of an accelerator, as its driver says it; its index where there is no such driver."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = cards[index].read_text().splitlines() if index < len(cards) else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("Model:")), f"device {index}")
    return "".join(letter if letter.isalnum() else "_" for letter in model)
