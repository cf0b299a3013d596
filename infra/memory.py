"""How much memory a process may still take."""

from pathlib import Path
from typing import Final

import psutil

_GROUP: Final = Path("/sys/fs/cgroup")


def free_bytes(group: Path = _GROUP) -> int:
    """Memory that is free on this host, or in this container where it has less.

    Args:
        group: the process' control group (version 2), as a container sees its own.
    """
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        files = int(facts["active_file"]) + int(facts["inactive_file"])  # cached, and given up when memory is wanted
    except (OSError, ValueError, KeyError):  # no control group, or `max`: no limit
        return free
    return max(min(free, limit - used + files), 0)


def total_bytes(group: Path = _GROUP) -> int:
    """Memory of this host, or what this container may have of it.

    Args:
        group: as above.
    """
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int((group / "memory.max").read_text()))
    except (OSError, ValueError):  # no control group, or `max`: no limit
        return total
