"""A worker: one prefork process for one device, its model loaded and proved before the first task.

The parent talks to the queue and beats the fleet's pulse, the child renders. CUDA must start after the fork, so all
loading is done in the child. An exception there would be swallowed by the pool and the worker would take tasks with no
model; so a child that fails says why through a pipe, stops its parent, and exits.
"""

import os
import signal
import socket
from contextlib import suppress
from typing import Any

import psutil
import structlog
from celery import signals

from infra.celery_app import CHUNK_TIME_LIMIT_S, LONG_TIME_LIMIT_S, SOFT_MARGIN_S
from infra.errors import EXIT_FAILED, LipsyncError
from infra.logs import configure_logs
from infra.settings import Settings
from jobs.avatars import resolve
from jobs.fleet import Fleet
from jobs.fleet_state import write_facts
from jobs.messages import ASSEMBLE, ENCODE_AUDIO, RENDER_CHUNK
from jobs.scratch import sweep_scratch
from workers.canary import prove, prove_with_demo
from workers.noticeboard import Noticeboard
from workers.pulse import Vitals, add_pulse, processor_name
from workers.reporting import Reporter
from workers.sessions import short_name
from workers.tasks import PartRunner
from workers.warm import WarmAvatars

log = structlog.get_logger(__name__)

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
    board = Noticeboard()
    _add_tasks(fleet, node, failed, board)
    add_pulse(fleet, node, board)
    controllers: list[Any] = []  # Celery keeps its exit code to itself
    signals.worker_init.connect(lambda sender, **_: controllers.append(sender), weak=False)
    fleet.app.worker_main(
        ["worker", "--pool=prefork", "--concurrency=1", "--without-gossip", "--without-mingle", "-n", node]
    )
    with suppress(LipsyncError):  # again: its last part was told of after it had taken its leave
        fleet.ledger.worker_gone(node)
    try:
        reason = os.read(failures, 65536).decode()
    except BlockingIOError:
        return int(controllers[0].exitcode or 0)
    log.error("worker_refused_to_start", reason=reason)
    return EXIT_FAILED


def _add_tasks(fleet: Fleet, node: str, failed: int, board: Noticeboard) -> None:
    runner: PartRunner | None = None

    def start(**_: object) -> None:
        nonlocal runner
        try:
            runner = _start_runner(fleet, node, board)
            facts = Vitals(fleet.settings, node, board, psutil.Process(os.getppid())).take()
            fleet.ledger.worker_seen(node, write_facts(facts))  # the parent's pulse may be seconds away
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


def _start_runner(fleet: Fleet, node: str, board: Noticeboard) -> PartRunner:
    """In the child: load and prove what this worker must be able to do."""
    settings = fleet.settings
    avatars = WarmAvatars(fleet.store, settings, prove)
    if settings.avatars:
        for ref in settings.avatars[: settings.warm_avatars]:
            provider = short_name(avatars.get(resolve(ref, fleet.store)).painter.provider)
    else:
        provider = prove_with_demo(settings)
    reporter = Reporter(fleet.ledger, node, board)
    reporter.ready(provider, processor_name() if provider == "cpu" else "", psutil.Process(os.getppid()).create_time())
    log.info("worker_ready", worker=node)
    return PartRunner(settings, fleet.store, fleet.ledger, avatars, node, fleet.dispatch, reporter)
