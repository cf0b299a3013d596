"""Ansible module: what the fleet wants to know of a host."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: fleet_facts
short_description: What the fleet wants to know of a host, as facts, in one visit
description:
  - C(fleet_gpus), how many GPUs the NVIDIA driver shows; C(fleet_processors); C(fleet_memory_bytes);
    C(fleet_systemd), the version of systemd; and C(fleet_clock_kept), whether something keeps the clock in time.
options:
  clock:
    description: Whether to look at the clock; C(fleet_clock_kept) is true where not.
    type: bool
    default: true
  root:
    description: The folder that holds C(proc) and C(dev).
    type: path
    default: /
"""

EXAMPLES = """
- name: See what this host is
  fleet_facts:
"""

RETURN = """
ansible_facts:
  description: The facts.
  type: dict
  returned: always
"""

_DEVICE_FILE = re.compile(r"nvidia[0-9]+")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]")


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "clock": {"type": "bool", "default": True},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    root = Path(module.params["root"])
    module.exit_json(
        changed=False,
        ansible_facts={
            "fleet_gpus": _gpus(root),
            "fleet_processors": os.cpu_count() or 1,
            "fleet_memory_bytes": _memory_bytes(root),
            "fleet_systemd": int(_first_number(_said("systemctl", "--version"))),
            "fleet_clock_kept": not module.params["clock"] or _clock_kept(),
        },
    )


def _clock_kept() -> bool:
    return _said("timedatectl", "show", "--property=NTPSynchronized", "--value").strip() == "yes"


def _gpus(root: Path) -> int:
    """The driver names a GPU twice, below /proc and below /dev; either may be hidden from us."""
    known = _matching(root / "proc" / "driver" / "nvidia" / "gpus", _PCI_ADDRESS)
    return max(known, _matching(root / "dev", _DEVICE_FILE))


def _matching(folder: Path, pattern: re.Pattern[str]) -> int:
    return sum(1 for entry in folder.iterdir() if pattern.fullmatch(entry.name)) if folder.is_dir() else 0


def _memory_bytes(root: Path) -> int:
    return int(_first_number((root / "proc" / "meminfo").read_text())) * 1024  # MemTotal is the first line


def _first_number(text: str) -> str:
    found = re.search(r"[0-9]+", text)
    return found[0] if found else "0"


def _said(*command: str) -> str:
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
        ).stdout
    except OSError:
        return ""


if __name__ == "__main__":
    main()
