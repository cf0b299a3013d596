"""What accelerators there are: what the driver says, and what this ONNX Runtime was built for."""

import os
from dataclasses import dataclass

from infra.errors import Failed
from infra.gpu import visible
from infra.settings import Providers, Settings
from workers.sessions import import_runtime


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    memory_bytes: int
    memory_used_bytes: int


@dataclass(frozen=True)
class DeviceFacts:
    """Accelerators as the driver and ONNX Runtime see them.

    Attributes:
        asked: `LIPSYNC_PROVIDERS`.
        device: `LIPSYNC_DEVICE`.
        offered: the providers of this build of ONNX Runtime, as it names them.
        runtime_cuda: version of CUDA that it was built for, such as `12.8`; empty when for none.
        driver: version of the NVIDIA driver; None when none answers.
        driver_cuda: newest version of CUDA that the driver knows, (12, 4).
        silence: why no driver answers, as part of a sentence.
        gpus: that CUDA lets this process see, in its order.
    """

    asked: Providers
    device: int
    offered: tuple[str, ...]
    runtime_cuda: str
    driver: str | None
    driver_cuda: tuple[int, int]
    silence: str
    gpus: tuple[Gpu, ...]

    @property
    def gpu(self) -> Gpu | None:
        """The one that `LIPSYNC_DEVICE` means."""
        return self.gpus[self.device] if self.device < len(self.gpus) else None


def probe_devices(settings: Settings) -> DeviceFacts:
    """Ask the driver, through NVML, and ONNX Runtime. Nothing of CUDA is started by this."""
    try:
        runtime = import_runtime()
        offered, runtime_cuda = (
            tuple(runtime.get_available_providers()),
            str(getattr(runtime, "cuda_version", "") or ""),
        )
    except (Failed, ImportError):  # the host's versions tell of it
        offered, runtime_cuda = (), ""
    driver, driver_cuda, silence, gpus = _ask_driver()
    return DeviceFacts(
        asked=settings.providers,
        device=settings.device,
        offered=offered,
        runtime_cuda=runtime_cuda,
        driver=driver,
        driver_cuda=driver_cuda,
        silence=silence,
        gpus=tuple(gpus[index] for index in visible(len(gpus), os.environ)),
    )


def _ask_driver() -> tuple[str | None, tuple[int, int], str, list[Gpu]]:
    try:
        import pynvml
    except ImportError:
        return None, (0, 0), "this installation has no nvidia-ml-py to ask it with", []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as refused:
        return None, (0, 0), str(refused), []
    try:
        gpus = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            gpus.append(Gpu(str(pynvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.used)))
        cuda = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())  # 12040 is 12.4
        driver = str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as refused:
        return None, (0, 0), str(refused), []
    finally:
        pynvml.nvmlShutdown()
    return driver, (cuda // 1000, cuda % 1000 // 10), "", gpus
