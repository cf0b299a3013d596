"""Start a program in control groups of its own, to be killed when its starter dies.

Run as `python enter.py GROUP … -- PROGRAM ARGUMENT …`; the program takes the place of this process. To the kernel, the
starter is a thread, so it must be one that lives on.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Join the groups, then become the program."""
    border = arguments.index("--")
    groups, program = arguments[:border], arguments[border + 1 :]
    for group in groups:
        (Path(group) / "cgroup.procs").write_text("0")
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
