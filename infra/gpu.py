"""What the driver says of an NVIDIA GPU, through NVML; nothing of CUDA is started by asking."""

from typing import NamedTuple


class GpuReading(NamedTuple):
    """One GPU at one moment; `use` is the share of the last moments in which it was at work, 0 to 1."""

    name: str
    driver: str
    memory_used_bytes: int
    memory_total_bytes: int
    use: float


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
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
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
