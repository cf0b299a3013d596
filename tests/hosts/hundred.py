"""A hundred hosts, deployed to by the playbooks from this machine: `python -m tests.hosts.hundred`.

All hosts share this machine's cores, so that what they do themselves counts against them; what the control machine
needs is what Ansible and its ssh used. Hosts are installed as workers are, and start none: a hundred would need a
hundred hosts' memory; nor does each examine itself, unless `--gate doctor` says so, since that is a render on each.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosts import releases
from tests.hosts.conftest import folder_of_hosts
from tests.hosts.control import Control, Played
from tests.hosts.hosts import Hosts, names
from tests.hosts.possible import lacking, refused
from tests.hosts.s3_host import s3_host

_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_ENOUGH_INOTIFY = 8192
_SHOWN = 6


@dataclass(frozen=True)
class Measured:
    """What one playbook took."""

    what: str
    played: Played
    others_cpu_s: float
    """CPU seconds of the hosts and the store."""
    disk_bytes: int
    """What a host gained on its disk, the mean of all."""


def main() -> None:
    """Boot the hosts, set them up, update them, roll back, update again, and print what each took."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--hosts", type=int, default=100, help="how many workers")
    options.add_argument("--form", choices=["squashfs", "tree"], default="squashfs", help="mount images, or unpack")
    options.add_argument("--gate", choices=["doctor", "version"], default="version", help="how hosts examine a release")
    chosen = options.parse_args()
    if reason := lacking() or refused():
        sys.exit(f"No hosts can be booted here: {reason}.")
    with ExitStack() as stack:
        stack.enter_context(_inotify())
        hosts = stack.enter_context(Hosts(folder_of_hosts()))
        store = stack.enter_context(s3_host(hosts))
        workers = list(names("worker", chosen.hosts))
        began_s = time.monotonic()
        hosts.boot("redis", *workers)
        print(f"{chosen.hosts + 1} hosts booted in {time.monotonic() - began_s:.0f} s", flush=True)
        control = Control(hosts, store, hosts.folder / "control")
        stack.callback(control.close)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=hosts.folder)))
        ids = [
            control.lipsync("release", "push", releases.build("cpu", label, scratch)).strip() for label in ("r1", "r2")
        ]
        control.describe(
            {"redis": ["redis"], "workers_cpu": workers},
            {
                "lipsync_release_cpu": ids[0],
                "lipsync_release_form": chosen.form,
                "lipsync_workers": 0,
                "lipsync_gate": ["doctor"] if chosen.gate == "doctor" else ["--version"],
            },
        )
        update = {"lipsync_release_cpu": ids[1]}
        bench = _Bench(hosts, control, workers)
        rows = [
            bench.measure("site.yml: set up bare hosts and deploy", "site.yml"),
            bench.measure("site.yml: once more", "site.yml"),
            bench.measure("deploy.yml: fetch the next release and update to it", "deploy.yml", **update),
            bench.measure("rollback.yml: back to the release before", "rollback.yml"),
            bench.measure("deploy.yml: update to what was fetched earlier", "deploy.yml", **update),
        ]
        _print(rows, len(workers))


@dataclass
class _Bench:
    hosts: Hosts
    control: Control
    workers: list[str]

    def measure(self, what: str, playbook: str, *arguments: str, **variables: Any) -> Measured:
        """Run a playbook and say what it took."""
        cpu_before_s, disk_before = self.hosts.cpu_s(), self._disk_bytes()
        played = self.control.play(playbook, *arguments, **variables)
        gained = (self._disk_bytes() - disk_before) // len(self.workers)
        measured = Measured(what, played, self.hosts.cpu_s() - cpu_before_s, gained)
        print(f"{what}: {played.wall_s:.0f} s", flush=True)
        return measured

    def _disk_bytes(self) -> int:
        return sum(
            file.lstat().st_blocks * 512
            for worker in self.workers
            for file in self.hosts.disk(worker).rglob("*")
            if not file.is_symlink()
        )


@contextmanager
def _inotify() -> Iterator[None]:
    """Let root watch enough for the systemds of a hundred hosts; a host of its own would count for itself."""
    before = _INOTIFY.read_text()
    _INOTIFY.write_text(str(max(int(before), _ENOUGH_INOTIFY)))
    try:
        yield
    finally:
        _INOTIFY.write_text(before)


def _print(rows: list[Measured], workers: int) -> None:
    print(f"\n| {workers} hosts | wall | control's CPU | hosts' and store's CPU | disk per host | changed | tasks |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        played = row.played
        print(
            f"| {row.what} | {played.wall_s:.0f} s | {played.cpu_s:.0f} s | {row.others_cpu_s:.0f} s "
            f"| {row.disk_bytes / 1e6:.1f} MB | {len(played.changed)} hosts | {len(played.tasks)} |"
        )
    for row in rows:
        print(f"\n{row.what}, slowest tasks and the last host of each:")
        for task in sorted(row.played.tasks, key=lambda task: task.wall_s, reverse=True)[:_SHOWN]:
            last = f"{task.answers[-1][1]} after {task.answers[-1][0]:.1f} s" if task.answers else ""
            print(f"  {task.wall_s:6.1f} s  {task.name}  {last}")


if __name__ == "__main__":
    main()
