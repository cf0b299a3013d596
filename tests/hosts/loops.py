"""Loop devices, which all hosts of a machine share: a host mounts images through them."""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

from tests.hosts.commands import run

_LOOP_CTL_REMOVE = 0x4C81  # linux/loop.h


def detach_images(below: Path) -> None:
    """Free the devices whose images lie below a folder, as a host leaves them that died amid a mount."""
    ours = {(f"{os.major(at.st_dev)}:{os.minor(at.st_dev)}", at.st_ino) for at in _files(below)}
    listed = run("losetup", "--list", "--json", "--output", "NAME,BACK-MAJ:MIN,BACK-INO")
    for device in json.loads(listed or '{"loopdevices": []}')["loopdevices"]:
        if (device["back-maj:min"].strip(), int(device["back-ino"])) in ours:
            with suppress(RuntimeError):  # it frees itself when its last mount goes
                run("losetup", "--detach", device["name"])


def numbers() -> set[int]:
    """The devices that the kernel has made."""
    return {int(device.name.removeprefix("loop")) for device in Path("/sys/block").glob("loop[0-9]*")}


def remove_devices(unwanted: set[int]) -> None:
    """Have the kernel forget devices that nothing uses."""
    if not unwanted:
        return
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        for number in unwanted:
            with suppress(OSError):  # in use by somebody else
                fcntl.ioctl(control, _LOOP_CTL_REMOVE, number)
    finally:
        os.close(control)


def _files(below: Path) -> list[os.stat_result]:
    return [file.stat() for file in below.rglob("*.squashfs")] if below.exists() else []
