"""Whether an accelerator can do what is asked of it, and why not. Pure.

With `LIPSYNC_PROVIDERS=cuda` or `tensorrt` what is missing is an error; with `auto` a worker goes on with the CPU, so
it is a warning.
"""

from collections.abc import Sequence

from infra.gpu import VISIBLE
from workers.doctor.device_facts import DeviceFacts
from workers.doctor.findings import Code, Finding, Level, error, note, warning
from workers.doctor.outcome import spell_bytes
from workers.doctor.rendering import Rendered
from workers.encoding_capacity import core_shortage
from workers.sessions import PROVIDER_NAMES

CUDA_BYTES = 1_500_000_000
"""What CUDA, cuDNN and the tensors of a run take of a device: an allowance, not measured."""
NETWORK_COPIES = 3
"""So many times the size of their files networks take there at most: weights, and what is prepared of them."""
_OF_DRIVER = "libcuda.so"
_LAYER = "deploy the layer with the CUDA libraries"


def wants_cuda(devices: DeviceFacts) -> bool:
    """Whether a worker on this host would run on CUDA or TensorRT if it could."""
    return devices.asked in {"cuda", "tensorrt"} or (
        devices.asked == "auto" and PROVIDER_NAMES["cuda"] in devices.offered
    )


def judge_devices(devices: DeviceFacts, unloadable: Sequence[str]) -> list[Finding]:
    """What stands between this host and its accelerators.

    Args:
        devices: what driver and ONNX Runtime say.
        unloadable: libraries that ONNX Runtime's CUDA provider lacks.
    """
    if not wants_cuda(devices):
        return _unused(devices)
    if PROVIDER_NAMES["cuda"] not in devices.offered:
        return []  # the build is at fault; what else is missing shows with the right one
    findings = []
    if devices.driver is None:
        silence = devices.silence.rstrip(".")
        findings.append(_lack(devices, "driver-missing", f"No NVIDIA driver answers ({silence}): install the driver"))
    else:
        needed = int(devices.runtime_cuda.partition(".")[0] or 0)
        if devices.driver_cuda[0] < needed:
            known = ".".join(map(str, devices.driver_cuda))
            findings.append(
                _lack(
                    devices,
                    "driver-old",
                    f"The NVIDIA driver {devices.driver} knows CUDA up to {known} and this ONNX Runtime was built for "
                    f"{devices.runtime_cuda}: install a newer driver",
                )
            )
        if devices.gpu is None:
            which = f"LIPSYNC_DEVICE={devices.device}"
            findings.append(
                _lack(
                    devices,
                    "device-index",
                    f"There is no GPU for {which}, since {_count(devices)}, counted from 0: correct it or {VISIBLE}",
                )
            )
    for library in unloadable:
        if not (library.startswith(_OF_DRIVER) and devices.driver is None):  # that was told
            findings.append(_missing_library(devices, library))
    return findings


def judge_provider(devices: DeviceFacts, rendered: Rendered) -> list[Finding]:
    """Whether networks really run where they should: `get_providers()` of a session, not what a build could do."""
    if rendered.provider_problem and devices.asked != "auto":
        return [error("provider-missing", rendered.provider_problem)]
    if rendered.provider_problem:
        return [
            warning(
                "provider-fallback",
                f"Networks run on the CPU though this ONNX Runtime has CUDA: {rendered.provider_problem}",
            )
        ]
    return []


def judge_device_memory(devices: DeviceFacts, network_bytes: int, bank_bytes: int) -> list[Finding]:
    """Whether the device has room for networks, and for what is kept of template frames.

    Args:
        devices: with the device that is meant.
        network_bytes: size of the avatars' network files.
        bank_bytes: of the memory that was set aside for template frames.
    """
    if devices.gpu is None or not wants_cuda(devices):
        return []
    gpu, which = devices.gpu, f"{devices.gpu.name} (LIPSYNC_DEVICE={devices.device})"
    needed = CUDA_BYTES + NETWORK_COPIES * network_bytes
    if needed > gpu.memory_bytes:
        return [
            _lack(
                devices,
                "device-memory-small",
                f"{which} has {spell_bytes(gpu.memory_bytes)} of memory and the avatars take about "
                f"{spell_bytes(needed)}: name fewer of them, or take another device",
            )
        ]
    if needed + bank_bytes > gpu.memory_bytes:
        room_mb = (gpu.memory_bytes - needed) // 1_000_000
        return [
            warning(
                "bank-large",
                f"{spell_bytes(bank_bytes)} for template frames do not fit into the {spell_bytes(gpu.memory_bytes)} of "
                f"{which} beside the networks: set LIPSYNC_CACHE_MB to {max(room_mb, 1)} at most.",
            )
        ]
    free = gpu.memory_bytes - gpu.memory_used_bytes
    if needed + bank_bytes > free:
        return [
            warning(
                "device-memory-taken",
                f"Of the memory of {which} {spell_bytes(free)} are free, and a worker takes about "
                f"{spell_bytes(needed + bank_bytes)}: end other programs there, unless it is a worker that makes room.",
            )
        ]
    return []


def judge_cores(devices: DeviceFacts, rendered: Rendered, cores: int) -> list[Finding]:
    """Whether the cores encode what the device paints, when each GPU of the host has a worker."""
    share = max(cores // max(len(devices.gpus), 1), 1)
    shortages = [core_shortage(avatar.frames_per_s, avatar.size, share) for avatar in rendered.paces]
    return [warning("cores-few", shortage) for shortage in shortages[:1] if shortage]


def judge_codecs(devices: DeviceFacts, rendered: Rendered) -> list[Finding]:
    """Whether this host encodes; an encoder on the card is a gift."""
    findings = []
    if rendered.x264_problem:
        findings.append(error("codec-missing", f"{rendered.x264_problem.rstrip('.')}: deploy the release again."))
    if devices.gpus and rendered.nvenc_problem:
        findings.append(
            note(
                "nvenc-missing",
                f"{rendered.nvenc_problem.rstrip('.')}, so chunks of jobs with --codec h264_nvenc are left to others: "
                "some cards have no encoder, others want the driver's library libnvidia-encode.",
            )
        )
    return findings


def _unused(devices: DeviceFacts) -> list[Finding]:
    if devices.asked != "auto" or not devices.gpus:
        return []
    return [
        warning(
            "device-unused",
            f"This host has {devices.gpus[0].name} and an ONNX Runtime without CUDA: deploy the variant for GPUs, or "
            "set LIPSYNC_PROVIDERS=cpu.",
        )
    ]


def _missing_library(devices: DeviceFacts, library: str) -> Finding:
    if library.startswith("libcudnn"):
        return _lack(devices, "cudnn-missing", f"cuDNN cannot be loaded ({library} is not found): {_LAYER}")
    if library.startswith(_OF_DRIVER):
        return _lack(devices, "driver-missing", f"The driver's library {library} is not found: install the driver")
    return _lack(devices, "cuda-missing", f"The CUDA library {library} cannot be loaded: {_LAYER}")


def _lack(devices: DeviceFacts, code: Code, sentence: str) -> Finding:
    level: Level = "warning" if devices.asked == "auto" else "error"
    return Finding(level, code, f"{sentence}, or set LIPSYNC_PROVIDERS=cpu.")


def _count(devices: DeviceFacts) -> str:
    return "there is one" if len(devices.gpus) == 1 else f"there are {len(devices.gpus) or 'none'}"
