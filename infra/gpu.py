"""What the driver says of an NVIDIA GPU, through NVML; nothing of CUDA is started by asking."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


class GpuReading(NamedTuple):
    """One GPU at one moment; `use` is the share of the last moments in which it was at work, 0 to 1, where it tells."""

    name: str
    driver: str
    memory_used_bytes: int
    memory_total_bytes: int
    use: float | None


def visible(count: int, environment: Mapping[str, str]) -> list[int]:
    """Which of `count` GPUs CUDA shows to this process, in its order.

    Names (`GPU-…`, `MIG-…`) cannot be told from the environment alone: all GPUs count as visible then.
    """
    wanted = environment.get(VISIBLE)
    if wanted is None:
        return list(range(count))
    shown: list[int] = []
    for word in wanted.split(","):
        if word.strip().startswith(("GPU-", "MIG-")):
            return list(range(count))
        if not word.strip().isdigit() or int(word) >= count:  # as CUDA does: the first that is none ends the list
            return shown
        shown.append(int(word))
    return shown


def read_gpu(index: int) -> GpuReading | None:
    """Ask the driver, or None where there is no driver, no such GPU, or no package to ask with.

    Args:
        index: as `LIPSYNC_DEVICE` counts.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        shown = visible(pynvml.nvmlDeviceGetCount(), os.environ)
        if index >= len(shown):
            return None
        gpu = pynvml.nvmlDeviceGetHandleByIndex(shown[index])
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
        use = None
        with suppress(pynvml.NVMLError):  # parts of a card do not tell
            use = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100
        return GpuReading(
            str(pynvml.nvmlDeviceGetName(gpu)),
            str(pynvml.nvmlSystemGetDriverVersion()),
            int(memory.used),
            int(memory.total),
            use,
        )
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
