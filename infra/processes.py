"""Processes that do not outlive the one that started them."""

import ctypes
import signal
import sys


def end_with_parent() -> None:
    """Have the kernel send SIGTERM when this process' parent dies, however it dies; on Linux only."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # linux/prctl.h
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
