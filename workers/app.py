"""A worker: one prefork process for one device, its model loaded and proved before the first task.

The parent talks to the queue and beats the fleet's pulse, the child renders. CUDA must start after the fork, so all
loading is done in the child. An exception there would be swallowed by the pool and the worker would take tasks with no
model; so a child that fails says why through a pipe, stops its parent, and exits.
"""

import mmap
import os
import signal
import socket
from contextlib import suppress
from typing import Any

import structlog
from celery import Celery, bootsteps, signals

from infra.celery_app import CHUNK_TIME_LIMIT_S, LONG_TIME_LIMIT_S, SOFT_MARGIN_S
from infra.errors import EXIT_FAILED, LipsyncError
from infra.logs import configure_logs
from infra.settings import Settings
from jobs.avatars import resolve
from jobs.fleet import Fleet
from jobs.messages import ASSEMBLE, ENCODE_AUDIO, RENDER_CHUNK
from jobs.scratch import sweep_scratch
from workers.canary import prove, prove_with_demo
from workers.tasks import PartRunner
from workers.warm import WarmAvatars

log = structlog.get_logger(__name__)

PULSE_S = 5.0
TURN_S = 2.0
"""However many workers beat, the whole ledger is looked over once in this time."""

_TIME_LIMITS_S = {RENDER_CHUNK: CHUNK_TIME_LIMIT_S, ENCODE_AUDIO: LONG_TIME_LIMIT_S, ASSEMBLE: LONG_TIME_LIMIT_S}


def run_worker(settings: Settings, name: str | None = None) -> int:
    """Run a worker until it is told to stop: SIGTERM finishes the part, SIGQUIT hands it back at once.

    Returns:
        The process' exit code: 0 when it was told to stop, not 0 after an error or when the model could not be proved.
    """
    configure_logs()
    signals.setup_logging.connect(lambda **_: configure_logs(), weak=False)  # keeps Celery from setting up its own
    node = f"{name or f'worker{settings.device}-{os.getpid()}'}@{socket.gethostname()}"
    sweep_scratch()
    fleet = Fleet(settings)
    fleet.check()
    failures, failed = os.pipe()
    os.set_blocking(failures, False)
    proved = mmap.mmap(-1, 1)  # shared with the child
    _add_tasks(fleet, node, failed, proved)
    _add_pulse(fleet, node, proved)
    controllers: list[Any] = []  # Celery keeps its exit code to itself
    signals.worker_init.connect(lambda sender, **_: controllers.append(sender), weak=False)
    fleet.app.worker_main(
        ["worker", "--pool=prefork", "--concurrency=1", "--without-gossip", "--without-mingle", "-n", node]
    )
    try:
        reason = os.read(failures, 65536).decode()
    except BlockingIOError:
        return int(controllers[0].exitcode or 0)
    log.error("worker_refused_to_start", reason=reason)
    return EXIT_FAILED


def _add_tasks(fleet: Fleet, node: str, failed: int, proved: mmap.mmap) -> None:
    runner: PartRunner | None = None

    def start(**_: object) -> None:
        nonlocal runner
        try:
            runner = _start_runner(fleet, node)
            proved[0] = 1
            fleet.ledger.worker_seen(node)
        except BaseException as error:
            sentence = str(error) if isinstance(error, LipsyncError) else f"{type(error).__name__}: {error}"
            os.write(failed, sentence.encode()[:60000])
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(EXIT_FAILED)

    def register(task: str, time_limit: int) -> None:
        def answer(*args: object, **payload: Any) -> str:
            if runner is None:
                raise RuntimeError("The worker has no model.")
            return runner.answer(task, {"positional arguments": args} if args else payload)

        soft_limit = time_limit - SOFT_MARGIN_S
        fleet.app.task(name=task, typing=False, time_limit=time_limit, soft_time_limit=soft_limit)(answer)

    signals.worker_process_init.connect(start, weak=False)
    for task, time_limit in _TIME_LIMITS_S.items():
        register(task, time_limit)


def _start_runner(fleet: Fleet, node: str) -> PartRunner:
    """In the child: load and prove what this worker must be able to do."""
    settings = fleet.settings
    avatars = WarmAvatars(fleet.store, settings, prove)
    if settings.avatars:
        for ref in settings.avatars[: settings.warm_avatars]:
            avatars.get(resolve(ref, fleet.store))
    else:
        prove_with_demo(settings)
    log.info("worker_ready", worker=node)
    return PartRunner(settings, fleet.store, fleet.ledger, avatars, node, fleet.dispatch)


def _add_pulse(fleet: Fleet, node: str, proved: mmap.mmap) -> None:
    """Let the parent report this worker alive and look after the ledger, whatever the child is doing."""

    def beat() -> None:
        try:
            if proved[0]:
                fleet.ledger.worker_seen(node)
            if fleet.ledger.my_turn("dispatch", TURN_S):
                fleet.dispatch()
        except LipsyncError as error:
            log.warning("pulse_missed", error=str(error))

    class Pulse(bootsteps.StartStopStep):
        """Beats in the event loop of the consumer, so that it needs no thread that a fork would break."""

        entry: Any = None

        def start(self, consumer: Any) -> None:
            beat()
            self.entry = consumer.timer.call_repeatedly(PULSE_S, beat)

        def stop(self, _consumer: Any) -> None:
            if self.entry is not None:
                self.entry.cancel()
            with suppress(LipsyncError):
                fleet.ledger.worker_gone(node)

    app: Celery = fleet.app
    app.steps["consumer"].add(Pulse)
