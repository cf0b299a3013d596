"""The packages of a lock, installed into a tree as on a host that has no pip: nothing but what runs."""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from infra.artefact.running import run

_UNWANTED_FOLDERS: Final = ("__pycache__", "tests", "test", "include")
_UNWANTED_FILES: Final = (
    "*.pyi",  # for type checkers
    "py.typed",
    "*.h",  # for compilers
    "*.hpp",
    "*.a",
    "*.c",
    "*.cc",
    "*.cpp",
    "*.cu",
    "*.pxd",
    "*.pyx",
    "*.proto",
    "*.pc",
)
_UNWANTED: Final = (
    "bin",  # programs name the Python that installed them
    "*.dist-info/RECORD",  # true before this module deletes anything; the tree has a digest instead
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "boto3/examples",
    "botocore/data/*",  # see _KEPT
    "boto3/data/*",
    "cv2/data/*",  # cascades of face detectors
    "onnxruntime/datasets",
    "onnxruntime/capi/libonnxruntime.so*",  # for C programs: the module for Python contains the same code
    "numpy/f2py",  # a compiler's front end
    "numpy/distutils",
    "onnx/backend/sample",
    "onnx/bin",
)
# Of the descriptions of all AWS services: the one that is used, and those that credentials may come from.
_AWS: Final = ("s3", "sts", "sso", "sso-oidc", "signin")
_KEPT: Final = (
    *(f"{name}/data/{kept}" for name in ("boto3", "botocore") for kept in (*_AWS, "*.json")),
    "cv2/data/*.py",
)


@dataclass(frozen=True)
class Package:
    """An installed wheel, as pip reports it."""

    name: str
    version: str
    sha256: str
    """Of the wheel."""


def install_packages(lock: Path, program: Path, folder: Path) -> list[Package]:
    """Install the wheels that a hashed lock names for the Python `program` into `folder`, and drop what never runs.

    Raises:
        Failed: a wheel is not to be had or is not the one that the lock names.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        run(
            [
                *pip(program),
                *("install", "--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile"),
                *("--target", folder, "--report", report, "--requirement", lock),
            ],
            f"Installing {lock.name}",
        )
        installed = json.loads(report.read_bytes())["install"]
    prune(folder)
    return sorted((_package(one) for one in installed), key=lambda package: package.name)


def pip(program: Path) -> list[str | Path]:
    """This Python's pip, working for another Python, which needs none."""
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", program]


def prune(folder: Path) -> None:
    """Delete what no program on a host reads: tests, headers, other services' descriptions."""
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if ".libs/" in name:
            continue
        if path.is_dir() and not path.is_symlink():
            if path.name in _UNWANTED_FOLDERS or _matches(name):
                shutil.rmtree(path)
        elif any(fnmatch(path.name, pattern) for pattern in _UNWANTED_FILES) or _matches(name):
            path.unlink(missing_ok=True)


def _matches(name: str) -> bool:
    depth = name.count("/")
    return any(pattern.count("/") == depth and fnmatch(name, pattern) for pattern in _UNWANTED) and not any(
        fnmatch(name, pattern) for pattern in _KEPT
    )


def _package(installed: dict[str, Any]) -> Package:
    metadata = installed["metadata"]
    return Package(
        metadata["name"], metadata["version"], installed["download_info"]["archive_info"]["hashes"]["sha256"]
    )
