"""What one check brings: what it saw, in a line for people and as values for machines, and its findings."""

from dataclasses import dataclass, field
from typing import Any

from workers.doctor.findings import Finding


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes:
        line: what was seen, for people; empty when there is nothing to show.
        facts: the same for machines: JSON values, sizes in bytes, times in seconds.
        findings: what is to be said about it.
    """

    line: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def spell_bytes(size: float) -> str:
    """`21.3 GB`, `640 MB`: of 10^9 and 10^6 bytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
