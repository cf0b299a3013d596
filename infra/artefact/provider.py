"""ONNX Runtime's kernels for CUDA: one library, larger than all else together, that changes with the lock alone.

It travels in the layer `cuda`. A release has a link where the library was, which names the release of ONNX Runtime:
with another layer the link leads nowhere, and nothing wrong is loaded.
"""

import os
from pathlib import Path
from typing import Final

NAME: Final = "libonnxruntime_providers_cuda.so"
IN_WHEEL: Final = f"onnxruntime/capi/{NAME}"
PACKAGE: Final = "onnxruntime-gpu"

# From the root of a release: /opt/lipsync/releases/<id> and /opt/lipsync/cuda. The launcher looks there, too.
_LAYER: Final = Path("../../cuda/lib")


def name_in_layer(version: str) -> str:
    """The library's name in the layer, with the release of ONNX Runtime that it belongs to."""
    return f"{NAME.removesuffix('.so')}-{version}.so"


def leave_to_layer(root: Path, packages: Path, version: str) -> None:
    """Put a link into the layer where the library is, below the folder `packages` of the tree `root`."""
    library = packages / IN_WHEEL
    if library.exists():
        library.unlink()
        library.symlink_to(os.path.relpath(root / _LAYER / name_in_layer(version), library.parent))
