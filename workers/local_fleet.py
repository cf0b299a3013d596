"""A whole fleet on one machine, in the foreground: Redis, workers and Flower, started together and stopped together."""

import fcntl
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from infra.embedded_redis import find_redis_server, redis_command, refuse_running, wait_for_redis
from infra.errors import Failed, Rejected
from infra.object_store import open_store
from infra.processes import end_with_parent
from infra.settings import Settings
from jobs.fleet import Fleet
from workers.avatar.demo import publish_demo
from workers.warm import cache_bytes


class Starter(Protocol):
    """Starts a named process with more environment."""

    def __call__(self, name: str, command: list[str], **environment: str) -> subprocess.Popen[bytes]: ...


STOP_TIMEOUT_S = 20.0
READY_TIMEOUT_S = 120.0
WATCH_EVERY_S = 0.5
LOOPBACK = "127.0.0.1"
WORKER = "worker-"
RESTART_AFTER_S = 30.0
"""A worker that ends sooner than this after it was started again has a fault that another start does not mend."""


@dataclass(frozen=True)
class LocalFleet:
    """What runs; `flower` is its address, None when Flower is not installed."""

    home: Path
    flower: str | None
    processes: dict[str, subprocess.Popen[bytes]]
    start_worker: Callable[[str], object]

    def check(self) -> None:
        """Raise `Failed` when a process has ended by itself."""
        fallen = self.fallen()
        if fallen is not None:
            raise Failed(f"{fallen} ended by itself: {_last_line(self.home, fallen)}")

    def watch(self, say: Callable[[str], object]) -> str:
        """Start workers again that end by themselves; return the name of what cannot be helped. Ctrl-C interrupts."""
        started_s: dict[str, float] = {}
        while True:
            fallen = self.fallen()
            if fallen is None:
                time.sleep(WATCH_EVERY_S)
                continue
            now_s = time.monotonic()
            if not fallen.startswith(WORKER) or now_s - started_s.get(fallen, -RESTART_AFTER_S) < RESTART_AFTER_S:
                return fallen
            say(f"{fallen} ended by itself and is started again; its log lies in {self.home / 'logs'}.")
            started_s[fallen] = now_s
            self.start_worker(fallen)

    def fallen(self) -> str | None:
        """The name of a process that ended by itself."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), None)


@contextmanager
def local_fleet(settings: Settings, workers: int, flower_port: int = 5555) -> Iterator[LocalFleet]:
    """Start a fleet in the user's data directory and stop all of it, and nothing else, at the end.

    Jobs, segments and videos outlive it: what was under way goes on when it is started again.

    Raises:
        Rejected: one runs there already, or the settings point elsewhere.
        Failed: something does not start; its log lies in `home/logs`.
    """
    if settings.redis_url is not None:
        raise Rejected(
            "LIPSYNC_REDIS_URL points to another Redis; unset it, or start `lipsync worker` to join that fleet."
        )
    home = settings.home
    with ExitStack() as stack:
        stack.enter_context(_only_one(home))
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.callback(_stop, processes)
        logs, data = home / "logs", home / "redis"
        # The processes work in another folder than ours: what may have been relative must not be for them.
        places = {"LIPSYNC_HOME": str(home), "LIPSYNC_CACHE": str(settings.cache)}

        def start(name: str, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((logs / f"{name}.log").open("ab" if name in processes else "wb"))
            processes[name] = _start(command, log, home, places | environment)
            return processes[name]

        def start_worker(name: str) -> None:
            start(
                name,
                [sys.executable, "-m", "jobs.cli", "worker", "--name", name],
                LIPSYNC_THREADS=threads,
                LIPSYNC_CACHE_MB=kept,
            )

        refuse_running(settings.local_socket)
        server = start("redis", redis_command(find_redis_server(), data, settings.local_socket))
        wait_for_redis(settings.local_socket, server)
        publish_demo(open_store(settings))
        threads = str(settings.threads or max(len(os.sched_getaffinity(0)) // workers, 1))
        kept = str(max(cache_bytes(settings) // workers // 1_000_000, 1))
        for number in range(1, workers + 1):
            start_worker(f"{WORKER}{number}")
        fleet = LocalFleet(home, _start_flower(start, flower_port), processes, start_worker)
        _wait_for_workers(Fleet(settings), fleet, workers)
        yield fleet


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock of a data directory."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in ("logs", "redis"):
            (home / folder).mkdir(exist_ok=True)
        lock = (home / "lock").open("w")
    except OSError as error:
        raise Failed(f"The data directory {home} cannot be used ({error.strerror}): set LIPSYNC_HOME.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Rejected(f"A local fleet runs in {home} already; `lipsync submit` will find it.") from None
        yield


def _start(command: list[str], log: IO[bytes], home: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own: Ctrl-C reaches this process alone, which then stops the others."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=home,
        env=os.environ | environment,
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509  (no threads run yet)
    )


def _start_flower(start: "Starter", port: int) -> str | None:
    if importlib.util.find_spec("flower") is None:
        return None
    port = free_port(port)
    flower = [sys.executable, "-m", "infra.flower_app", "--address", LOOPBACK, "--port", str(port)]
    start("flower", flower)
    return f"http://{LOOPBACK}:{port}"


def free_port(wished: int) -> int:
    """The port that was wished for when it is free on loopback, else any that is."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failed(f"There is no free port on {LOOPBACK}.")


def _wait_for_workers(fleet: Fleet, local: LocalFleet, workers: int) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while fleet.ledger.workers_alive() < workers:
        local.check()
        if time.monotonic() > deadline_s:
            raise Failed(f"The workers did not start within {READY_TIMEOUT_S:.0f} s; see {local.home / 'logs'}.")
        time.sleep(0.05)


def _last_line(home: Path, name: str) -> str:
    log = home / "logs" / f"{name}.log"
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'it said nothing'} (more in {log})"


def _stop(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Stop workers first, so that they hand back their work while Redis still listens; Redis last."""
    redis = [process for name, process in processes.items() if name == "redis"]
    others = {name: process for name, process in processes.items() if name != "redis"}
    for name, process in others.items():
        process.send_signal(signal.SIGQUIT if name.startswith(WORKER) else signal.SIGTERM)
    _wait(list(others.values()))
    for process in redis:
        process.terminate()
    _wait(redis)


def _wait(processes: list[subprocess.Popen[bytes]]) -> None:
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    for process in processes:
        try:
            process.wait(max(deadline_s - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
