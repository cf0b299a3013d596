"""Hosts for tests: Debian with systemd and sshd, booted by systemd-nspawn in network namespaces joined by a bridge.

Hosts share one root and write to memory, but for `/opt/lipsync`, which is a folder on disk. Names and addresses belong
to one run at a time, so that everything of an earlier run, however it ended, can be found and removed.
"""

import fcntl
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.hosts import loops
from tests.hosts.commands import run
from tests.hosts.control_groups import ControlGroups
from tests.hosts.network import Network
from tests.hosts.root import host_key, make_root
from tests.servers import wait_until

_NAME = "lfh"
_NETWORK = IPv4Network("10.214.0.0/24")
_BOOT_S = 120.0
_AUTHORIZED_KEYS = Path("/root") / ".ssh" / "authorized_keys"
_ENTER = Path(__file__).with_name("enter.py")


@dataclass
class Host:
    """A host that runs."""

    name: str
    address: str
    supervisor: "subprocess.Popen[bytes]" = field(repr=False)
    booted: bool = False


class Hosts:
    """A set of hosts and the network between them, all gone when the block ends.

    Args:
        below: a folder on a disk, for the root, which stays, and for what hosts write, which does not.
        name: begins the name of everything that is made; a few letters, since a cable's name has 15 at most.
        network: private addresses that this machine does not use.
    """

    def __init__(self, below: Path, name: str = _NAME, network: IPv4Network = _NETWORK) -> None:
        self.folder = below / name
        self.network = Network(name, network)
        self._below = below
        self._name = name
        self._groups = ControlGroups(name)
        self._hosts: dict[str, Host] = {}
        self._loops_before: set[int] = set()
        self._lock: IO[str] | None = None

    def __enter__(self) -> "Hosts":
        """Remove what an earlier run has left, then lay the network.

        Raises:
            RuntimeError: another run is at it now, or this machine cannot do it.
        """
        self._lock = Path(f"/run/lock/lipsync-hosts-{self._name}").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"Another run has hosts named {self._name} on this machine now; wait for its end."
            ) from None
        self._remove_all()
        self._loops_before = loops.numbers()
        try:
            self._root = make_root(self._below)
            self.folder.mkdir(parents=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self._name, "-f", self.key)
            self.known_hosts.write_text(f"* {host_key(self._root)}\n")
            self.network.up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything but the root."""
        self._remove_all()
        loops.remove_devices(loops.numbers() - self._loops_before)
        if self._lock:
            self._lock.close()

    # --- what ssh needs ------------------------------------------------------------------------------------------

    @property
    def key(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """By what every host is known."""
        return self.folder / "known_hosts"

    def ssh(self, name: str, *command: str | Path, timeout_s: float = 60.0) -> str:
        """Run a command on a host as root and give what it printed.

        Raises:
            RuntimeError: it failed, or the host does not answer.
        """
        login = f"root@{self._hosts[name].address}"
        options = ["BatchMode=yes", f"UserKnownHostsFile={self.known_hosts}", "ConnectTimeout=10", "LogLevel=ERROR"]
        words = [word for option in options for word in ("-o", option)]
        remote = shlex.join(map(str, command))
        return run("ssh", "-F", "none", "-i", self.key, *words, login, remote, timeout_s=timeout_s)

    def address(self, name: str) -> str:
        """Where a host is reached."""
        return self._hosts[name].address

    # --- their lives ---------------------------------------------------------------------------------------------

    def start(self, name: str) -> Host:
        """Switch a host on and come back at once; call it from the main thread, which holds it alive."""
        address = self.network.join(name)
        disk = self.disk(name)
        disk.mkdir(parents=True, exist_ok=True)
        public_key = self.key.with_suffix(".pub")
        command: list[str | Path] = [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            f"--directory={self._root}",
            "--volatile=overlay",
            f"--machine={self._name}-{name}",
            f"--hostname={name}",
            f"--network-namespace-path={self.network.namespace(name)}",
            "--register=no",
            "--keep-unit",
            "--settings=no",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--capability=CAP_MKNOD",
            f"--bind={disk}:/opt/lipsync",
            f"--bind-ro={public_key}:{_AUTHORIZED_KEYS}",
            "--console=pipe",
        ]
        with self.log(name).open("ab") as log:
            supervisor = subprocess.Popen(
                [*self._grouped(name), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._hosts[name] = Host(name, address, supervisor)
        return self._hosts[name]

    def boot(self, *names: str) -> None:
        """Switch hosts on and wait until ssh answers on each.

        Raises:
            RuntimeError: one did not come up; the message ends with what it wrote to its console.
        """
        for name in names:
            self.start(name)
        for name in names:
            self.wait(name)

    def wait(self, name: str) -> None:
        """Wait until a host that was started has booted."""
        host = self._hosts[name]
        try:
            wait_until(lambda: host.supervisor.poll() is not None or _answers(host.address), _BOOT_S, f"{name} to boot")
            self.ssh(name, "systemctl", "is-system-running", "--wait", timeout_s=_BOOT_S)
        except (TimeoutError, RuntimeError) as error:
            console = self.log(name).read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{error}; the console of {name} said: {console}") from None

    def space(self, name: str) -> tuple[str, list[str | Path]]:
        """A host's address and namespace without a system in it: what precedes a command that shall run in there."""
        address = self.network.join(name)
        return address, [*self._grouped(name), "nsenter", f"--net={self.network.namespace(name)}"]

    def kill(self, name: str) -> None:
        """Take the power from a host: no process of it says goodbye, no packet leaves it any more."""
        host = self._hosts.pop(name)
        self.network.cut(name)
        self._groups.kill(name)
        host.supervisor.wait()
        self._groups.remove(name)
        self.network.leave(name)

    def cut(self, name: str) -> None:
        """Pull a host's cable."""
        self.network.cut(name)

    def mend(self, name: str) -> None:
        """Plug it in again."""
        self.network.mend(name)

    # --- what is known of them -----------------------------------------------------------------------------------

    def disk(self, name: str) -> Path:
        """The folder of this machine that a host knows as /opt/lipsync; it outlives the host's death."""
        return self.folder / "disks" / name

    def log(self, name: str) -> Path:
        """What a host wrote to its console."""
        return self.folder / f"{name}.console.log"

    def cpu_s(self) -> float:
        """CPU seconds that all hosts have used so far."""
        return self._groups.cpu_s()

    def _grouped(self, name: str) -> list[str | Path]:
        return [sys.executable, "-I", "-S", _ENTER, *self._groups.make(name), "--"]

    def _remove_all(self) -> None:
        self._groups.kill()
        for host in self._hosts.values():
            host.supervisor.wait()
        self._hosts.clear()
        self._groups.remove()
        self.network.down()
        loops.detach_images(self.folder)
        for left in Path("/run/systemd/nspawn/propagate").glob(f"{self._name}-*"):
            shutil.rmtree(left)
        if self.folder.exists():
            shutil.rmtree(self.folder)


def _answers(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, 22)) == 0


def names(kind: str, count: int) -> Sequence[str]:
    """Names of many hosts of a kind: `worker-001` and on."""
    return [f"{kind}-{number:03}" for number in range(1, count + 1)]
