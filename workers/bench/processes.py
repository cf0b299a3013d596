"""A process of its own for everything that is measured: memory and start-up are then its own, too."""

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from infra.errors import Failed
from infra.logs import configure_logs

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Run(Generic[Answer]):
    """What a process answered, and when it lived: seconds of `time.perf_counter`, which is one for all processes."""

    answer: Answer
    started_s: float
    ended_s: float

    @property
    def seconds(self) -> float:
        """From the start of the process to its end."""
        return self.ended_s - self.started_s


def in_its_own_process(function: Callable[..., Answer], *arguments: object) -> Run[Answer]:
    """Call a function in a process that is started for it, as `lipsync` is, and wait for both to end.

    Args:
        function: of a module, so that the other process finds it; what it raises is raised here.
        arguments: any that can be pickled.

    Raises:
        Failed: the process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit memory and threads
    started_s = time.perf_counter()
    try:
        with ProcessPoolExecutor(1, context, _be_quiet) as pool:
            answer = pool.submit(function, *arguments).result()
    except BrokenProcessPool:
        raise Failed(f"The process that measured {function.__name__} was killed: memory may have run out.") from None
    return Run(answer, started_s, time.perf_counter())


def _be_quiet() -> None:
    """Standard output is for the result alone, whatever libraries print."""
    configure_logs(logging.WARNING)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
