"""The checks of what lies on the host itself, the accelerator aside."""

import tempfile
from pathlib import Path
from typing import Any

from infra.settings import Settings
from workers.doctor.disk_checks import FolderFacts, judge_cache, judge_temp, no_temp, probe_folder
from workers.doctor.host_facts import HostFacts
from workers.doctor.host_verdicts import judge_limits, judge_processor, judge_versions
from workers.doctor.outcome import Outcome, spell_bytes


def examine_versions(host: HostFacts) -> Outcome:
    """Product, Python, ONNX Runtime and C library."""
    artefact = f"release {host.release} ({host.variant})" if host.release else host.variant or "no artefact"
    glibc = ".".join(map(str, host.glibc)) if host.glibc else None
    line = (
        f"lipsync-fleet {host.version}, {artefact}; Python {host.python}, ONNX Runtime {host.runtime or 'missing'}, "
        f"glibc {glibc or 'missing'}"
    )
    seen = {
        "version": host.version,
        "release": host.release,
        "variant": host.variant,
        "python": host.python,
        "onnxruntime": host.runtime,
        "glibc": glibc,
    }
    return Outcome(line, seen, tuple(judge_versions(host)))


def examine_processor(host: HostFacts, settings: Settings) -> Outcome:
    """Processor, cores and limits."""
    avx2 = "avx2" in host.features
    count = f"{host.cores} core{'s' if host.cores > 1 else ''}"
    line = f"{host.processor}, {count}{', AVX2' if avx2 else ''}; {host.open_files} open files"
    seen = {"name": host.processor, "cores": host.cores, "avx2": avx2, "open_files": host.open_files}
    return Outcome(line, seen, (*judge_processor(host, settings), *judge_limits(host)))


def examine_cache(settings: Settings) -> tuple[Outcome, bool]:
    """The cache, and whether a worker of this user could fill it."""
    cache = probe_folder(settings.cache, measure=True)
    findings = judge_cache(cache, settings.cache_disk_mb)
    line = (
        f"{_spell_folder(cache)}, {spell_bytes(cache.used_bytes)} used of {spell_bytes(settings.cache_disk_mb * 1e6)}"
    )
    seen = _seen(cache) | {"used_bytes": cache.used_bytes, "bound_bytes": settings.cache_disk_mb * 1_000_000}
    return Outcome(line, seen, tuple(findings)), not cache.problem and cache.owner == cache.user


def examine_temp() -> Outcome:
    """The folder for temporary files."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        return Outcome("none", {}, (no_temp(),))
    temp = probe_folder(Path(folder))
    return Outcome(_spell_folder(temp), _seen(temp), tuple(judge_temp(temp)))


def _spell_folder(folder: FolderFacts) -> str:
    return f"{folder.path}: {spell_bytes(folder.free_bytes)} free"


def _seen(folder: FolderFacts) -> dict[str, Any]:
    return {"path": str(folder.path), "writable": not folder.problem, "free_bytes": folder.free_bytes}
