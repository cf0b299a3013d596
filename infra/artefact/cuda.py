"""The layer `cuda`: what the lock names of CUDA, cuDNN and ONNX Runtime's kernels for them, flat in one folder."""

import hashlib
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Final, NamedTuple

from infra.artefact.packages import pip
from infra.artefact.parts import Part
from infra.artefact.provider import IN_WHEEL, PACKAGE, name_in_layer
from infra.artefact.python_tree import LIBRARIES, SourcePython
from infra.artefact.running import run
from infra.artefact.trees import kept
from infra.errors import Failed
from infra.tree_digest import file_sha256

_PIN: Final = re.compile(
    r"^(nvidia-[a-z0-9-]+|onnxruntime-gpu)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)
_LIBRARY: Final = re.compile(r"nvidia/.*/lib/([^/]+\.so(?:\.\d+)*)")
_LICENCE: Final = re.compile(
    r"[^/]+\.dist-info/(?:licenses/)?(License|LICENSE)[^/]*|onnxruntime/(LICENSE|ThirdPartyNotices\.txt)"
)
_RUNTIME: Final = "nvidia-cuda-runtime"


class _Pin(NamedTuple):
    version: str
    line: str
    """As the lock has it, hashes included."""


def layer_version(lock: Path) -> str:
    """The version of the layer that a lock describes: those of the CUDA runtime and of ONNX Runtime.

    Raises:
        Failed: the lock names no CUDA libraries.
    """
    pins = _pins(lock)
    return f"{pins[_RUNTIME].version}+onnxruntime{pins[PACKAGE].version}"


def cuda_tree(lock: Path, python: SourcePython, cache: Path) -> Path:
    """The kept folder with the layer's `tree` and parts.

    Raises:
        Failed: the lock names no CUDA libraries, or one of them is not to be had.
    """
    requirements = "".join(f"{pin.line}\n" for pin in _pins(lock).values())
    key = hashlib.sha256(requirements.encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return kept(cache, "cuda", key, lambda root: _make(root, requirements, python))


def _pins(lock: Path) -> dict[str, _Pin]:
    found = _PIN.finditer(lock.read_text(encoding="utf-8"))
    pins = {pin[1]: _Pin(pin[2], pin[0]) for pin in found}
    if not {_RUNTIME, PACKAGE} <= pins.keys():
        raise Failed(f"{lock} names no {_RUNTIME} or no {PACKAGE}: write the locks anew with `make lock`.")
    return pins


def _make(root: Path, requirements: str, python: SourcePython) -> list[Part]:
    (root / LIBRARIES).mkdir()
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        wanted = Path(scratch) / "pins.txt"
        wanted.write_text(requirements, encoding="utf-8")
        wheels = Path(scratch) / "wheels"
        options = ["--quiet", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
        run(
            [*pip(python.program), "download", *options, "--dest", wheels, "--requirement", wanted],
            "Fetching the CUDA libraries",
        )
        return [_unpack(wheel, root) for wheel in sorted(wheels.iterdir())]


def _unpack(wheel: Path, root: Path) -> Part:
    name, version = wheel.name.split("-")[:2]
    name = name.replace("_", "-")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            library = _LIBRARY.fullmatch(entry)
            text = _LICENCE.fullmatch(entry)
            if library:
                target = root / LIBRARIES / library[1]
            elif entry == IN_WHEEL:
                target = root / LIBRARIES / name_in_layer(version)
            elif text:
                target = root / "share" / "doc" / name / Path(entry).name
            else:
                continue
            if target.exists():
                raise Failed(
                    f"{wheel.name} brings another {target.name}: two packages of the lock do not fit together."
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    licence = "MIT" if name == PACKAGE else "LicenseRef-NVIDIA-Proprietary"
    return Part("pypi", name, version, licence, file_sha256(wheel))
