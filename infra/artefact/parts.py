"""What a tree is made of, as the bill of materials tells it: kept with the tree, since both may come from the cache."""

import importlib.metadata
import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from infra.tree_digest import file_sha256

_PURL_PYPI: Final = "pypi"
_PURL_DEBIAN: Final = "deb"
_LONGEST_LICENCE: Final = 80  # some put the whole text where its name belongs


@dataclass(frozen=True)
class Part:
    """A wheel, a library or Python itself."""

    kind: str
    """As package URLs say it: `pypi`, `deb` or `generic`."""
    name: str
    version: str
    licence: str
    """SPDX expression or a name; empty when the package does not say."""
    sha256: str
    """Of the wheel, or of the file that was copied."""
    detail: str = ""
    """The file that was copied out of a Debian package."""


def wheel_parts(folder: Path, wheels: dict[str, str]) -> list[Part]:
    """Parts of the packages installed in `folder`; `wheels` gives the SHA-256 of each one's wheel by its name."""
    digests = {_plain(name): sha256 for name, sha256 in wheels.items()}
    found = importlib.metadata.distributions(path=[str(folder)])
    parts = [
        Part(_PURL_PYPI, _plain(one.name), one.version, _licence(one.metadata), digests[_plain(one.name)])
        for one in found
        if _plain(one.name) in digests
    ]
    return sorted(parts, key=lambda part: part.name)


def library_parts(files: Iterable[Path]) -> list[Part]:
    """Parts of files that were copied from this machine, each with the distribution's package it came from."""
    return [_library_part(file) for file in files]


def _library_part(file: Path) -> Part:
    package = owning_package(file)
    sha256 = file_sha256(file)
    if package is None:
        return Part("generic", file.name, "", "", sha256)
    name, version = package
    return Part(_PURL_DEBIAN, name, version, "", sha256, file.name)


def owning_package(file: Path) -> tuple[str, str] | None:
    """Name and version of the Debian package that a file belongs to, None where there is none."""
    if not shutil.which("dpkg-query"):
        return None
    real = file.resolve()
    # Before /usr was merged, packages named their files without it, and some still do.
    for name in dict.fromkeys([file, real, Path("/", *real.parts[2:]) if real.parts[1:2] == ("usr",) else real]):
        found = _query("--search", str(name))
        if found:
            package = found.split(": ")[0].split(",")[0]
            version = _query("--show", "--showformat=${Version}", package)
            return package.split(":")[0], version
    return None


def copyright_files(parts: Iterable[Part]) -> dict[str, Path]:
    """What Debian says about the licences of its packages, by package; it travels with their files."""
    names = sorted({part.name for part in parts if part.kind == _PURL_DEBIAN})
    paths = {name: Path("/usr/share/doc") / name / "copyright" for name in names}
    return {name: path for name, path in paths.items() if path.is_file()}


def _query(*arguments: str) -> str:
    done = subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _licence(metadata: importlib.metadata.PackageMetadata) -> str:
    said = metadata.get_all("License-Expression") or []
    if not said:
        classes = metadata.get_all("Classifier") or []
        named = [line.rpartition(" :: ")[2] for line in classes if line.startswith("License :: ")]
        said = [line for line in metadata.get_all("License") or [] if len(line) <= _LONGEST_LICENCE] or named
    return "; ".join(line for line in said if line and line != "UNKNOWN")


def write_parts(path: Path, parts: Sequence[Part]) -> None:
    """Keep the parts beside a tree."""
    path.write_text(json.dumps([asdict(part) for part in parts], indent=1) + "\n", encoding="utf-8")


def read_parts(path: Path) -> list[Part]:
    """What `write_parts` kept."""
    return [Part(**fields) for fields in json.loads(path.read_bytes())]
