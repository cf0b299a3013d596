"""Shared libraries: what a tree needs beyond the C library, copied into it and found from where they lie."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.artefact.running import patchelf, run
from infra.errors import Failed

_GLIBC: Final = re.compile(
    r"(linux-vdso|ld-linux[\w-]*|libc|libm|libmvec|libdl|librt|libpthread|libutil|libresolv|libanl|libnss_\w+)\.so(\.\d+)?"
)
_NEEDED: Final = re.compile(r"^\s+(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", re.MULTILINE)
_GLIBC_SYMBOLS: Final = re.compile(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)")
_ELF: Final = b"\x7fELF"
# Of the layer `cuda` and the driver.
_CUDA: Final = re.compile(
    r"lib(cuda|cudart|cublas|cublasLt|cudnn\w*|cufft|curand|nvrtc|nvJitLink|nvinfer\w*|nvonnxparser\w*)\.so(\.\d+)*"
)


@dataclass(frozen=True)
class Library:
    """A shared library of this machine that a tree needs: its name there and the file here."""

    name: str
    source: Path


def elf_files(root: Path) -> list[Path]:
    """Programs and shared libraries below `root`, sorted."""
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and is_elf(path))


def is_elf(path: Path) -> bool:
    """Whether the file is a program or shared library."""
    with path.open("rb") as file:
        return file.read(4) == _ELF


def needed_libraries(files: Iterable[Path], root: Path) -> list[Library]:
    """What `files` load from outside of `root`, at any remove, without the C library and CUDA; sorted by name.

    Raises:
        Failed: this machine lacks one of them.
    """
    found: dict[str, Path] = {}
    for file in files:
        for name, where in _NEEDED.findall(_ldd(file)):
            if _GLIBC.fullmatch(name) or _CUDA.fullmatch(name):
                continue
            if where == "not found":
                raise Failed(f"{file.relative_to(root)} needs {name}, which this machine lacks: install it.")
            if not Path(where).resolve().is_relative_to(root.resolve()):
                found[name] = Path(where)
    return [Library(name, found[name]) for name in sorted(found)]


def _ldd(file: Path) -> str:
    try:
        return run(["ldd", file], f"Reading what {file} needs")
    except Failed as error:
        if "not a dynamic executable" in str(error):
            return ""
        raise


def copy_libraries(libraries: Sequence[Library], folder: Path) -> None:
    """Copy libraries into `folder`, where they find each other."""
    for library in libraries:
        target = folder / library.name
        shutil.copyfile(library.source, target)
        find_libraries(target, "$ORIGIN")


def find_libraries(file: Path, where: str) -> None:
    """Have a program or library look into `where` before all else, the environment included."""
    run([patchelf() or "patchelf", "--force-rpath", "--set-rpath", where, file], f"Setting the library path of {file}")


def load_at_start(program: Path, names: Iterable[str]) -> None:
    """Have a program load libraries of its tree before anything else.

    Wheels look for them where their own library path says and then where the system does, never where the program does;
    a library of that name that is loaded already is what they get.
    """
    words = [word for name in names for word in ("--add-needed", name)]
    if words:
        run([patchelf() or "patchelf", *words, program], f"Adding libraries to {program}")


def oldest_glibc(files: Iterable[Path]) -> str:
    """The oldest release of the C library that has every symbol that `files` ask for."""
    asked = {(int(a), int(b)) for file in files for a, b in _GLIBC_SYMBOLS.findall(file.read_bytes())}
    return ".".join(map(str, max(asked, default=(2, 17))))


def origin_path(file: Path, folder: Path) -> str:
    """`folder` as seen from a file of the same tree, such as `$ORIGIN/../..`."""
    return f"$ORIGIN/{os.path.relpath(folder, file.parent)}"
