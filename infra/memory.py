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
    except (OSError, ValueError):  # no control group, or `max`: no limit
        return free
    return max(min(free, limit - used), 0)
