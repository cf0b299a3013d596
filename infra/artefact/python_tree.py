"""The Python of a release: a copy of one of this machine, without what nothing on a host runs."""

import json
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from infra.artefact.libraries import (
    copy_libraries,
    elf_files,
    find_libraries,
    needed_libraries,
    origin_path,
)
from infra.artefact.running import run
from infra.errors import Failed, Rejected

LIBRARIES: Final = "lib"
"""Folder of the shared libraries that were copied, relative to the tree."""

_OLDEST: Final = (3, 11)
_NOT_COPIED: Final = (
    "__pycache__",
    "site-packages",
    "dist-packages",
    "sitecustomize.py",  # a link into /etc
    "EXTERNALLY-MANAGED",
    "config-*",  # to build extensions with
    "test",
    "idlelib",
    "tkinter",
    "turtle*",
    "ensurepip",
    "lib2to3",
    "distutils",
    "_distutils_system_mod.py",
    "venv",
    "pydoc_data",
    # What would need ncurses, readline, Berkeley DB, NIS and the like; nothing here does.
    "curses",
    "_curses*",
    "readline.*",
    "_dbm.*",
    "_gdbm.*",
    "_tkinter.*",
    "nis.*",
    "_crypt.*",
    "ossaudiodev.*",
    # Python's own tests and examples.
    "_test*",
    "_ctypes_test*",
    "_xxtestfuzz*",
    "xx*",
)

_FACTS = """
import json, os, platform, sys, sysconfig
print(json.dumps({
    "version": platform.python_version(),
    "program": os.path.realpath(sys.executable),
    "stdlib": sysconfig.get_path("stdlib"),
    "modules": sysconfig.get_config_var("DESTSHARED"),
    "build": sys.version,
}))
"""


@dataclass(frozen=True)
class SourcePython:
    """A Python of this machine that trees are made of."""

    version: str
    """Such as `3.11.2`."""
    program: Path
    stdlib: Path
    modules: Path
    """Folder of the standard library's compiled modules."""
    build: str
    """What tells two builds of one version apart."""

    @property
    def name(self) -> str:
        """`python3.11`: of the program and of the folder with the library."""
        return "python" + ".".join(self.version.split(".")[:2])


def source_python(program: Path) -> SourcePython:
    """Ask a Python what it is.

    Raises:
        Rejected: it is too old.
        Failed: it cannot be run.
    """
    facts = json.loads(run([program, "-I", "-c", _FACTS], f"Asking {program} for its version"))
    if tuple(int(part) for part in facts["version"].split(".")[:2]) < _OLDEST:
        raise Rejected(f"{program} is Python {facts['version']}, but 3.11 or newer is needed: choose it with --python.")
    if not facts["modules"]:
        raise Failed(f"{program} does not say where its compiled modules lie: choose another with --python.")
    return SourcePython(
        facts["version"], Path(facts["program"]), Path(facts["stdlib"]), Path(facts["modules"]), facts["build"]
    )


def copy_python(python: SourcePython, tree: Path) -> list[Path]:
    """Copy a Python into an empty tree, with the shared libraries it needs.

    Returns:
        The libraries' files on this machine, for the bill of materials.
    """
    library = tree / LIBRARIES / python.name
    program = tree / "bin" / python.name
    program.parent.mkdir(parents=True)
    shutil.copyfile(python.program, program)
    program.chmod(0o755)
    shutil.copytree(python.stdlib, library, ignore=_ignore, symlinks=True)
    if not (library / "lib-dynload").exists():
        shutil.copytree(python.modules, library / "lib-dynload", ignore=_ignore)
    licence = python.stdlib / "LICENSE.txt"
    if not licence.exists():
        raise Failed(f"{python.stdlib} lacks Python's LICENSE.txt, which has to travel with it: install it whole.")
    copied = [program, *elf_files(library)]
    originals = [python.program, *(python.modules / file.name for file in copied[1:])]
    needed = needed_libraries(originals, tree)
    copy_libraries(needed, tree / LIBRARIES)
    for file in copied:
        find_libraries(file, origin_path(file, tree / LIBRARIES))
    return [one.source for one in needed]


def packages_folder(tree: Path, python: SourcePython) -> Path:
    """Where the tree's Python looks for packages; asked of itself, since distributions differ."""
    script = "import site; print(site.getsitepackages()[-1])"
    program = tree / "bin" / python.name
    folder = Path(run([program, "-I", "-c", script], f"Asking {program} for its packages").strip())
    if not folder.resolve().is_relative_to(tree.resolve()):
        raise Failed(
            f"{program} looks for packages in {folder}, outside of its own tree: choose another with --python."
        )
    return tree / folder.resolve().relative_to(tree.resolve())


def _ignore(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if any(fnmatch(name, pattern) for pattern in _NOT_COPIED)]
