"""What the fleet wants to know of a host: `ansible/library/fleet_facts.py`."""

import os
from pathlib import Path

import pytest

from tests.playbooks.call import call

_GPUS = "proc/driver/nvidia/gpus"


@pytest.mark.parametrize(
    ("there", "gpus"),
    [
        ([], 0),
        ([f"{_GPUS}/0000:01:00.0", f"{_GPUS}/0000:41:00.0"], 2),
        (["dev/nvidia0", "dev/nvidia1", "dev/nvidia10", "dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia-caps"], 3),
        ([f"{_GPUS}/0000:01:00.0", "dev/nvidia0", "dev/nvidia1"], 2),
    ],
)
def test_gpus_are_counted_below_proc_and_below_dev(there: list[str], gpus: int, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       16384 kB\nMemFree:           42 kB\n")
    for path in there:
        (tmp_path / path).mkdir(parents=True)
    facts = call("fleet_facts", {"root": str(tmp_path)}).result["ansible_facts"]
    assert (facts["fleet_gpus"], facts["fleet_memory_bytes"]) == (gpus, 16 * 2**20)


def test_this_machine_has_memory_and_processors() -> None:
    facts = call("fleet_facts", {"root": "/"}, "--check").result["ansible_facts"]
    assert facts["fleet_processors"] == os.cpu_count()
    assert facts["fleet_memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert isinstance(facts["fleet_clock_kept"], bool)
    assert call("fleet_facts", {"clock": False}).result["ansible_facts"]["fleet_clock_kept"] is True
    assert isinstance(facts["fleet_systemd"], int)
