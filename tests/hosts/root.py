"""What every host's disk holds before anybody deploys: Debian with systemd and sshd, made once by debootstrap."""

import hashlib
import os
import shutil
from pathlib import Path

from tests.hosts.commands import run

_RELEASE = "bookworm"
_PACKAGES = (
    # a server as a provider hands it over
    "systemd,systemd-sysv,dbus,openssh-server,python3,python3-apt,iproute2,procps,kmod,curl,ca-certificates,zstd,"
    # what the roles would install: these hosts have no network to fetch it through
    "redis-server,prometheus"
)
_DEBOOTSTRAP_S = 1200.0
# Debian's maintainer scripts enable what they install; the roles enable what a host shall run.
_UNWANTED = (
    "redis-server.service",
    "prometheus.service",
    "prometheus-node-exporter.service",
    "e2scrub_reap.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "console-getty.service",
)
# The kernel makes loop devices as it goes, and nobody makes their nodes in a host.
_LOOPS_PROGRAM = """\
import os, stat

os.mknod("/dev/loop-control", stat.S_IFCHR | 0o660, os.makedev(10, 237))
for number in range(1024):
    os.mknod(f"/dev/loop{number}", stat.S_IFBLK | 0o660, os.makedev(7, number))
"""
_LOOPS_UNIT = """\
[Unit]
Description=Nodes of the machine's loop devices
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I -S /usr/local/lib/loop-devices.py

[Install]
WantedBy=sysinit.target
"""


def make_root(below: Path) -> Path:
    """The hosts' root below a folder; made there when it is not, or not from the recipe above."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    root = below / f"root-{recipe}"
    if root.exists():
        return root
    for old in below.glob("root-*"):
        shutil.rmtree(old)
    unfinished = below / "root-unfinished"
    below.mkdir(parents=True, exist_ok=True)
    clean = {"PATH": os.environ["PATH"], "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    keep = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    run(
        "debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _RELEASE, unfinished,
        timeout_s=_DEBOOTSTRAP_S, environment=clean | keep,
    )  # fmt: skip
    _finish(unfinished)
    unfinished.rename(root)
    return root


def _finish(root: Path) -> None:
    (root / "usr/local/lib/loop-devices.py").write_text(_LOOPS_PROGRAM)
    (root / "etc/systemd/system/loop-devices.service").write_text(_LOOPS_UNIT)
    run("systemctl", f"--root={root}", "enable", "loop-devices.service")
    for unit in _UNWANTED:
        run("systemctl", f"--root={root}", "disable", unit)
    (root / "etc/resolv.conf").write_text("")  # nobody answers there: fail at once instead of asking the machine's own
    (root / "etc/machine-id").write_text("")  # each host gets its own, and none takes this for its first boot
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root / "root/.ssh/authorized_keys").touch()  # the run's key is bound over it
    (root / "opt/lipsync").mkdir(parents=True)
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)


def host_key(root: Path) -> str:
    """The key by which all hosts of this root are known."""
    kind, key, *_ = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    return f"{kind} {key}"
