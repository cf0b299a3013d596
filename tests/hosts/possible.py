"""Whether hosts can be booted here; if not, why."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.control_groups import hierarchies
from tests.servers import missing

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "losetup": "mount",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mksquashfs": "squashfs-tools",
    "zstd": "zstd",
}


def require_hosts() -> None:
    """Skip what needs hosts where they cannot be booted; with `CI=true` only a kernel that refuses is an excuse."""
    if reason := lacking():
        missing(f"No hosts can be booted here: {reason}.")
    if reason := refused():
        pytest.skip(f"No hosts can be booted here: {reason}.")


def lacking() -> str:
    """What somebody could give this machine, so that hosts can be booted; empty when nothing is missing."""
    if sys.platform != "linux":
        return "that takes Linux"
    if os.geteuid() != 0:
        return "that takes root"
    absent = sorted({package for program, package in _PROGRAMS.items() if not shutil.which(program)})
    if absent:
        return f"the Debian packages {', '.join(absent)} are not installed"
    if not Path(sys.executable).with_name("ansible-playbook").exists():
        return "ansible-playbook is not in this environment; `make control` installs it"
    return ""


def refused() -> str:
    """What the kernel does not let root do here, as in an ordinary container; empty when it lets it do everything."""
    known = Path("/proc/filesystems").read_text().split()
    mounted = hierarchies()
    alone = ("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork")
    hindrances = {
        "the kernel knows no overlays": "overlay" not in known and not _works("modprobe", "overlay"),
        "the kernel knows no squashfs": "squashfs" not in known and not _works("modprobe", "squashfs"),
        "the kernel has no loop devices": not Path("/dev/loop-control").exists() and not _works("modprobe", "loop"),
        "there are no control groups to write to": "cgroup2" not in mounted
        or not all(os.access(folder, os.W_OK) for folder in mounted.values()),
        "the kernel makes no namespaces": not _works(*alone, "true"),
        "the kernel makes no bridges": not _works(*alone, "ip", "link", "add", "name", "lipsync", "type", "bridge"),
        "the kernel lets root mount nothing": not _works(*alone, "mount", "-t", "tmpfs", "lipsync", "/mnt"),
    }
    return next((hindrance for hindrance, met in hindrances.items() if met), "")


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
