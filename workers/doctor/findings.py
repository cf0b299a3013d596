"""What the doctor has to say about a host: findings with stable codes, and the verdict on all of them. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from infra.errors import EXIT_REJECTED, EXIT_UNREACHABLE

Level = Literal["error", "warning", "note"]
SEVERITY: Final[tuple[Level, ...]] = ("error", "warning", "note")

Code = Literal[
    "avatar-unusable",
    "avatars-many",
    "bank-large",
    "cache-disk-small",
    "cache-full",
    "cache-not-writable",
    "canary-failed",
    "canary-wrong",
    "certificate-ends",
    "certificate-refused",
    "check-failed",
    "clock-skew",
    "clock-wrong",
    "codec-missing",
    "cores-few",
    "cpu-old",
    "cuda-missing",
    "cudnn-missing",
    "device-index",
    "device-memory-small",
    "device-memory-taken",
    "device-unused",
    "driver-missing",
    "driver-old",
    "glibc-old",
    "memory-small",
    "memory-taken",
    "not-checked",
    "nvenc-missing",
    "open-files-few",
    "other-user",
    "provider-fallback",
    "provider-missing",
    "redis-acl",
    "redis-cluster",
    "redis-evicts",
    "redis-far",
    "redis-full",
    "redis-not-durable",
    "redis-old",
    "redis-refused",
    "redis-replica",
    "redis-unreachable",
    "redis-unreadable",
    "release-damaged",
    "runtime-missing",
    "setting-unknown",
    "setting-unusable",
    "store-differs",
    "store-local",
    "store-permission",
    "store-refused",
    "store-unreachable",
    "temp-not-writable",
    "temp-small",
    "threads-many",
]
"""Names of findings for machines; they stay the same when sentences are reworded."""

UNREACHABLE: Final[frozenset[Code]] = frozenset({"redis-unreachable", "store-unreachable"})
"""Errors that may pass by themselves: the host need not be the one to blame."""


class Finding(NamedTuple):
    """One sentence about a host, with what to do.

    With an `error` the host is not fit: a worker would not start, or would fail its parts. A `warning` costs speed or
    may become an error later. A `note` is good to know.
    """

    level: Level
    code: Code
    sentence: str


def error(code: Code, sentence: str) -> Finding:
    """A finding with which the host is not fit."""
    return Finding("error", code, sentence)


def warning(code: Code, sentence: str) -> Finding:
    """A finding that should be looked after."""
    return Finding("warning", code, sentence)


def note(code: Code, sentence: str) -> Finding:
    """A finding that is good to know."""
    return Finding("note", code, sentence)


def fit(findings: Iterable[Finding]) -> bool:
    """Whether the host may take work."""
    return all(finding.level != "error" for finding in findings)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when the host is fit, 2 when something must be mended, 3 when all is well but Redis or the store is away."""
    errors = {finding.code for finding in findings if finding.level == "error"}
    if not errors:
        return 0
    return EXIT_UNREACHABLE if errors <= UNREACHABLE else EXIT_REJECTED


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first; else in the order in which they were found."""
    return sorted(findings, key=lambda finding: SEVERITY.index(finding.level))


def verdict(findings: Iterable[Finding]) -> str:
    """`not fit: 2 errors, 1 warning`."""
    found = list(findings)
    count = Counter(finding.level for finding in found)
    counted = ", ".join(
        f"{count[level]} {level}{'s' if count[level] > 1 else ''}" for level in SEVERITY if count[level]
    )
    return f"{'fit' if fit(found) else 'not fit'}: {counted or 'nothing to say'}"
