"""The application's own wheel, with the build's label in its version."""

import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from infra.artefact.running import run
from infra.errors import Failed, Rejected

_ROOMS: Final = ("infra", "jobs", "workers")
_VERSION: Final = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_LABEL: Final = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)*")


def labelled_version(repository: Path, label: str) -> str:
    """The version that a build with this label has, such as `0.1.0+canary.2`.

    Raises:
        Rejected: the label cannot be part of a version.
    """
    if label and not _LABEL.fullmatch(label):
        raise Rejected(f"{label!r} cannot be the label of a build: use lower-case letters and digits, joined by dots.")
    return _version(repository) + (f"+{label}" if label else "")


def install_application(repository: Path, version: str, folder: Path) -> list[Path]:
    """Build the wheel from a copy of the sources, since building in place leaves traces, and unpack it into `folder`.

    Returns:
        The folders that it made.
    """
    with tempfile.TemporaryDirectory() as scratch:
        sources, wheels = Path(scratch) / "sources", Path(scratch) / "wheels"
        sources.mkdir()
        for room in _ROOMS:
            shutil.copytree(repository / room, sources / room, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "LICENSE"):
            shutil.copyfile(repository / name, sources / name)
        project = (repository / "pyproject.toml").read_text(encoding="utf-8")
        (sources / "pyproject.toml").write_text(_VERSION.sub(f'version = "{version}"', project), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
        options: list[str | Path] = ["--no-deps", "--no-build-isolation", "--wheel-dir", wheels, sources]
        run([*pip, *options], f"Building the wheel of {version}")
        (wheel,) = wheels.iterdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
            made = sorted({name.split("/")[0] for name in archive.namelist()})
    for record in folder.glob("lipsync_fleet-*.dist-info/RECORD"):
        record.unlink()
    return [folder / name for name in made]


def _version(repository: Path) -> str:
    found = _VERSION.search((repository / "pyproject.toml").read_text(encoding="utf-8"))
    if not found:
        raise Failed(f"{repository / 'pyproject.toml'} states no version: an artefact cannot be built from it.")
    return found[1]
