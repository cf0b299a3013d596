"""Control groups: every host's systemd gets a branch of its own, and whatever still runs in there can be found."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.servers import wait_until

_GONE_S = 10.0
_SUPERVISOR = "systemd-nspawn"


def hierarchies() -> dict[str, Path]:
    """Where the kernel's control groups are mounted, as far as a host's systemd needs them: `cgroup2`, `cgroup`."""
    found = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found[kind] = Path(folder)
    return found


class ControlGroups:
    """The branches of one set of hosts: `<hierarchy>/<name>/<host>` in every hierarchy that systemd needs."""

    def __init__(self, name: str) -> None:
        mounted = hierarchies()
        self._tops = [hierarchy / name for hierarchy in mounted.values()]
        self._accounts = mounted["cgroup2"] / name / "cpu.stat"

    def make(self, host: str) -> list[Path]:
        """Make a host's branches and give their folders."""
        folders = [top / host for top in self._tops]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        return folders

    def cpu_s(self, host: str = "") -> float:
        """CPU seconds that a host has used so far, or that all have."""
        words = (self._accounts.parent / host / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def kill(self, host: str = "") -> None:
        """End every process of a host, or of all, at once; what supervises a host may clean up after itself first."""
        self._kill(host, supervisors=False)
        with suppress(TimeoutError):
            wait_until(lambda: not self._processes(host), _GONE_S, "what supervises the hosts to end")
        self._kill(host, supervisors=True)
        wait_until(lambda: not self._processes(host), _GONE_S, "the hosts' processes to end")

    def remove(self, host: str = "") -> None:
        """Remove a host's branches, or all; nothing may run in there any more."""
        for top in self._tops:
            for folder, _, _ in os.walk(top / host, topdown=False):
                Path(folder).rmdir()

    def _processes(self, host: str) -> set[int]:
        return {pid for top in self._tops for pid in _members(top / host)}

    def _kill(self, host: str, supervisors: bool) -> None:
        for pid in self._processes(host):
            with suppress(OSError):  # it has ended by itself
                if supervisors or Path(f"/proc/{pid}/comm").read_text().strip() != _SUPERVISOR:
                    os.kill(pid, signal.SIGKILL)


def _members(top: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(top):
        with suppress(OSError):  # a branch that has just gone
            yield from (int(line) for line in (Path(folder) / "cgroup.procs").read_text().split())
