"""Whether a host is one that can render. Pure."""

from infra.settings import Settings
from workers.doctor.findings import Finding, error, warning
from workers.doctor.host_facts import HostFacts
from workers.doctor.outcome import spell_bytes

OPEN_FILES = 1024
"""What distributions give a process; a worker holds about a hundred."""
WORKER_BYTES = 600_000_000
"""What a worker with the demo avatar was seen to take, the operating system not counted."""


def judge_versions(host: HostFacts) -> list[Finding]:
    """Whether the packages run on this operating system."""
    findings = []
    if host.release_problem:
        findings.append(error("release-damaged", host.release_problem))
    if host.runtime is None:
        findings.append(error("runtime-missing", host.runtime_problem))
    if host.glibc is not None and host.glibc < host.glibc_wanted:
        findings.append(
            error(
                "glibc-old",
                f"{host.glibc_wanted_by} wants glibc {_dotted(host.glibc_wanted)} and this host has "
                f"{_dotted(host.glibc)}: install a newer distribution.",
            )
        )
    return findings


def judge_processor(host: HostFacts, settings: Settings) -> list[Finding]:
    """Whether the processor is fast enough by its kind, and what was set fits it."""
    findings = []
    if host.machine == "x86_64" and "avx2" not in host.features:
        findings.append(
            warning(
                "cpu-old",
                f"{host.processor} has no AVX2, so networks and encoder run much slower than they could: take another "
                "host, or have the hypervisor pass AVX2 on.",
            )
        )
    if settings.threads > host.cores:
        findings.append(
            warning(
                "threads-many",
                f"LIPSYNC_THREADS={settings.threads} is more than the {host.cores} cores that this process may use: "
                "set it lower, or to 0.",
            )
        )
    return findings


def judge_limits(host: HostFacts) -> list[Finding]:
    """Whether a process may open enough files."""
    if host.open_files < 0 or host.open_files >= OPEN_FILES:  # negative: no limit
        return []
    return [
        warning(
            "open-files-few",
            f"A process may open {host.open_files} files only: raise the limit to {OPEN_FILES} (`LimitNOFILE` of the "
            "unit, or `ulimit -n`).",
        )
    ]


def judge_memory(total_bytes: int, free_bytes: int, worker_bytes: int, bank_bytes: int) -> list[Finding]:
    """Whether a worker finds room.

    Args:
        total_bytes: of the host or container.
        free_bytes: of it.
        worker_bytes: what rendering was seen to take here, or `WORKER_BYTES`.
        bank_bytes: what `LIPSYNC_CACHE_MB` may take of the same memory on top of that.
    """
    if worker_bytes > total_bytes:
        return [
            error(
                "memory-small",
                f"A worker takes {spell_bytes(worker_bytes)} of memory and this host or container has "
                f"{spell_bytes(total_bytes)}: give it more, or name fewer avatars.",
            )
        ]
    if worker_bytes + bank_bytes > total_bytes:
        room_mb = (total_bytes - worker_bytes) // 1_000_000
        return [
            warning(
                "bank-large",
                f"LIPSYNC_CACHE_MB={bank_bytes // 1_000_000} does not fit into {spell_bytes(total_bytes)} of memory "
                f"beside the {spell_bytes(worker_bytes)} of a worker: set it to {room_mb} at most, or to 0.",
            )
        ]
    if worker_bytes + bank_bytes > free_bytes:
        return [
            warning(
                "memory-taken",
                f"Of {spell_bytes(total_bytes)} of memory {spell_bytes(free_bytes)} are free, and a worker takes "
                f"{spell_bytes(worker_bytes + bank_bytes)}: end other programs, unless it is a worker that makes room.",
            )
        ]
    return []


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
