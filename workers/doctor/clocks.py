"""How far this host's clock is from those of Redis and the store. Pure."""

from typing import Final

from workers.doctor.findings import Finding, error, warning

SKEW_S: Final = 5.0
WRONG_S: Final = 300.0
"""S3 refuses requests that are 15 minutes off, some servers sooner."""


def judge_clock(skew_s: float, whose: str) -> list[Finding]:
    """Compare two clocks.

    Args:
        skew_s: by how much theirs is ahead of this host's.
        whose: the other one's owner, for the sentence.
    """
    if abs(skew_s) < SKEW_S:
        return []
    way = "behind" if skew_s > 0 else "ahead of"
    sentence = (
        f"This host's clock is {abs(skew_s):.0f} s {way} that of {whose}: have both follow a time server (chrony or "
        "systemd-timesyncd)."
    )
    return [error("clock-wrong", sentence) if abs(skew_s) >= WRONG_S else warning("clock-skew", sentence)]
