"""What figures were measured on, and how much memory they took."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from infra.settings import Settings
from workers.sessions import PROVIDING


def machine() -> dict[str, str | int]:
    """Processor, cores that may be used, and the versions that the speed depends on."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime_version(),
    }


def describe_machine() -> str:
    """The same in one line."""
    facts = machine()
    return f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, ONNX Runtime {facts['onnxruntime']}"


def onnxruntime_version() -> str:
    """Of the package that is installed, `-gpu` where it is that one."""
    for package in PROVIDING:
        try:
            return f"{version(package)}{package.removeprefix('onnxruntime')}"
        except PackageNotFoundError:
            continue
    return "missing"


def threads_of(settings: Settings) -> int:
    """Threads of one network run: those that were asked for, else one per core that this process may use."""
    return settings.threads or len(os.sched_getaffinity(0))


def peak_memory_mb() -> float:
    """The most memory that this process ever held at a time, in 10^6 bytes; files that it maps are counted, too."""
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's before exec, too
    return 1.024e-3 * int(status.partition("VmHWM:")[2].split()[0])


def own_memory_mb(process_id: int) -> float:
    """Memory that a process and its children share with nobody else, in 10^6 bytes."""
    process = psutil.Process(process_id)
    return 1e-6 * sum(one.memory_full_info().uss for one in (process, *process.children(recursive=True)))


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
