"""What this host is: versions, processor, memory, limits. Looks and changes nothing."""

import importlib.metadata
import os
import platform
import re
import resource
from dataclasses import dataclass
from pathlib import Path

from infra.errors import Failed
from infra.memory import free_bytes, total_bytes
from jobs.release import Release, current_release
from workers.sessions import import_runtime

_CPU_INFO = Path("/proc/cpuinfo")
_MANYLINUX = re.compile(r"-manylinux_2_(\d+)_\w+$", re.MULTILINE)


@dataclass(frozen=True)
class HostFacts:
    """A host as the process sees it.

    Attributes:
        version: of the product, with the label of the build.
        release: id of the artefact that the process runs from; None when it runs from none.
        release_problem: why that cannot be told, one sentence; empty when it can.
        variant: what that artefact is for.
        python: version.
        runtime: version of ONNX Runtime; None when it cannot be imported.
        runtime_problem: why not, one sentence.
        glibc: version of the C library, (2, 36); None where there is another one.
        glibc_wanted: by the installed packages.
        glibc_wanted_by: the package that wants the newest.
        machine: `x86_64`, `aarch64`.
        processor: its name.
        features: what its instruction set has, as the kernel spells it.
        cores: that this process may use.
        memory_bytes: of the host, or of the container where that has less.
        memory_free_bytes: of it.
        open_files: that a process of this user may have.
    """

    version: str
    release: str | None
    release_problem: str
    variant: str | None
    python: str
    runtime: str | None
    runtime_problem: str
    glibc: tuple[int, int] | None
    glibc_wanted: tuple[int, int]
    glibc_wanted_by: str
    machine: str
    processor: str
    features: frozenset[str]
    cores: int
    memory_bytes: int
    memory_free_bytes: int
    open_files: int


def probe_host() -> HostFacts:
    """Look at this host."""
    release, release_problem = _release()
    runtime, problem = _runtime()
    wanted, wanted_by = wanted_glibc(_wheels())
    processor, features = read_processor(_CPU_INFO.read_text() if _CPU_INFO.exists() else "")
    return HostFacts(
        version=release.version,
        release=release.id,
        release_problem=release_problem,
        variant=release.variant,
        python=platform.python_version(),
        runtime=runtime,
        runtime_problem=problem,
        glibc=_glibc(),
        glibc_wanted=wanted,
        glibc_wanted_by=wanted_by,
        machine=platform.machine(),
        processor=processor,
        features=features,
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=total_bytes(),
        memory_free_bytes=free_bytes(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def read_processor(text: str) -> tuple[str, frozenset[str]]:
    """Name and features of the processor in the text of `/proc/cpuinfo`."""
    fields = dict(re.findall(r"^(model name|flags|Features)\s*: (.*)$", text, re.MULTILINE))
    features = frozenset((fields.get("flags") or fields.get("Features") or "").split())
    return fields.get("model name", "processor of unknown name"), features


def wanted_glibc(wheels: dict[str, str]) -> tuple[tuple[int, int], str]:
    """The oldest glibc on which all packages run, and the one that wants it.

    Args:
        wheels: package → text of the file `WHEEL` in its metadata, whose tags name what it was built for.
    """
    wanted = ((2, 17), "")
    for package, text in wheels.items():
        minors = [int(minor) for minor in _MANYLINUX.findall(text)]
        if minors:
            wanted = max(wanted, ((2, min(minors)), package))
    return wanted


def _wheels() -> dict[str, str]:
    found = importlib.metadata.distributions()
    return {package.name: package.read_text("WHEEL") or "" for package in found}


def _glibc() -> tuple[int, int] | None:
    library, version = platform.libc_ver()
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if library == "glibc" and numbers else None


def _release() -> tuple[Release, str]:
    try:
        return current_release(), ""
    except Failed as error:
        return Release(importlib.metadata.version("lipsync-fleet")), str(error)


def _runtime() -> tuple[str | None, str]:
    try:
        return str(import_runtime().__version__), ""
    except Failed as error:
        return None, str(error)
    except ImportError as error:  # the package is there, one of its libraries is not
        return None, f"ONNX Runtime cannot be loaded ({error}): deploy the release again."
