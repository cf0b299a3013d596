"""The pulse of a worker: its parent process tells the ledger every few seconds that it lives, and what it does.

The ledger answers whether the worker may take work. While its host is drained, it listens to the queue no more.
"""

import os
import platform
import shutil
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psutil
import structlog
from celery import Celery, bootsteps

from infra.errors import LipsyncError
from infra.gpu import read_gpu
from infra.settings import Settings
from jobs import keys
from jobs.fleet import Fleet
from jobs.fleet_state import WorkerFacts, write_facts
from jobs.release import current_release
from workers.noticeboard import Noticeboard, Work

log = structlog.get_logger(__name__)

PULSE_S: Final = 5.0
TURN_S: Final = 2.0
"""However many workers beat, the whole ledger is looked over once in this time."""
_RATE_OVER_S: Final = 30.0


class Vitals:
    """Gathers what a worker says of itself; `process` is its parent, this one by default."""

    def __init__(
        self, settings: Settings, node: str, board: Noticeboard, process: psutil.Process | None = None
    ) -> None:
        self._settings = settings
        self._board = board
        self._process = process or psutil.Process()
        self._past: deque[tuple[float, int]] = deque()
        release = current_release()
        self._facts = WorkerFacts(
            worker=node,
            host=socket.gethostname(),
            device=settings.device,
            version=release.version,
            release=release.id or "",
            started_s=self._process.create_time(),
        )

    def take(self) -> WorkerFacts:
        """All of it, as it is now."""
        work = self._board.work()
        gpu = read_gpu(self._settings.device) if self._board.facts().get("provider", "cpu") != "cpu" else None
        facts = replace(
            self._facts,
            **self._board.facts(),
            fps=round(self._rate(work), 2),
            pace_fps=round(work.paced_frames / work.paced_s, 2) if work.paced_s else None,
            memory_bytes=self._memory_bytes(),
            cache_free_bytes=_free_bytes(self._settings.cache),
        )
        if gpu is None:
            return facts
        return replace(
            facts,
            device_name=gpu.name,
            device_memory_bytes=gpu.memory_used_bytes,
            device_memory_total_bytes=gpu.memory_total_bytes,
            device_use=gpu.use,
        )

    def _rate(self, work: Work) -> float:
        """Frames per second over the last half minute."""
        now_s = time.monotonic()
        if self._past and work.frames < self._past[-1][1]:  # another child
            self._past.clear()
        self._past.append((now_s, work.frames))
        while len(self._past) > 2 and now_s - self._past[1][0] >= _RATE_OVER_S:
            self._past.popleft()
        then_s, frames = self._past[0]
        return (work.frames - frames) / (now_s - then_s) if now_s > then_s else 0.0

    def _memory_bytes(self) -> int | None:
        """What parent and child have for themselves; templates and the interpreter's files are shared."""
        total = 0
        with suppress(psutil.Error):
            for process in [self._process, *self._process.children(recursive=True)]:
                memory = process.memory_info()
                total += memory.rss - memory.shared
            return total
        return None


def _free_bytes(folder: Path) -> int | None:
    """Free on the disk of a folder that may not exist yet."""
    with suppress(OSError):
        return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    return None


def processor_name() -> str:
    """The processor's name, for workers without an accelerator."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({len(os.sched_getaffinity(0))} threads)"
    return platform.machine()


def add_pulse(fleet: Fleet, node: str, board: Noticeboard) -> None:
    """Let the parent report this worker alive and look after the ledger, whatever the child is doing."""
    vitals = Vitals(fleet.settings, node, board)

    def beat(consumer: Any) -> None:
        try:
            if board.work().proved:
                _listen(consumer, fleet.ledger.worker_seen(node, write_facts(vitals.take())))
            if fleet.ledger.my_turn("dispatch", TURN_S):
                fleet.dispatch()
        except LipsyncError as error:
            log.warning("pulse_missed", error=str(error))

    class Pulse(bootsteps.StartStopStep):
        """Beats in the event loop of the consumer, so that it needs no thread that a fork would break."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        entry: Any = None

        def start(self, consumer: Any) -> None:
            beat(consumer)
            self.entry = consumer.timer.call_repeatedly(PULSE_S, beat, (consumer,))

        def stop(self, _consumer: Any) -> None:
            if self.entry is not None:
                self.entry.cancel()
            with suppress(LipsyncError):
                fleet.ledger.worker_gone(node)

    app: Celery = fleet.app
    app.steps["consumer"].add(Pulse)


def _listen(consumer: Any, wanted: bool) -> None:
    """Take messages off the queue, or leave them to others."""
    listens = consumer.task_consumer.consuming_from(keys.QUEUE)
    if wanted and not listens:
        log.info("host_resumed")
        consumer.add_task_queue(keys.QUEUE)
    elif listens and not wanted:
        log.info("host_drained")
        consumer.cancel_task_queue(keys.QUEUE)
