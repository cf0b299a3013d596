"""Proof that two ONNX files are the networks of the render contract, before they become part of a pack."""

import mmap
import os
from pathlib import Path

import numpy as np

from infra.errors import LipsyncError, Rejected
from infra.settings import Settings
from workers.lip_model import load_lip_model

# How a tensor that lies in another file names that file in protobuf's wire format: a StringStringEntryProto with the
# key "location" (onnx.proto, `TensorProto.external_data`).
_EXTERNAL_TENSOR = b"\x0a\x08location\x12"
_SLACK = 1e-3  # pictures lie in [0, 1]; a sigmoid may be rounded past the ends


def prove_networks(generator: Path, audio_encoder: Path, settings: Settings) -> None:
    """Load both networks and run them once on silence and a grey face.

    Raises:
        Rejected: a file is missing, keeps its weights in another file, or is not a network of the render contract.
        Failed: ONNX Runtime cannot load it, or is not installed.
    """
    for path in (generator, audio_encoder):
        _refuse_external_weights(path)
    model = load_lip_model(generator, audio_encoder, settings)
    try:
        features = model.encode(np.full((1, 1, 80, 16), -4, np.float32))
        pictures = model.generate(np.full((1, 6, 320, 320), 0.5, np.float32), np.zeros((1, 32, 16, 16), np.float32))
    except LipsyncError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).splitlines()[0][:300]
        raise Rejected(f"{generator.name} or {audio_encoder.name} loads but cannot run: {reason}") from error
    if features.shape != (1, 512) or not np.isfinite(features).all():
        raise Rejected(
            f"{audio_encoder.name} turns silence into {features.shape} values, some of which may be infinite: finite "
            "(1, 512) are expected, so export it again."
        )
    if pictures.shape != (1, 3, 320, 320) or not _in_unit_range(pictures):
        raise Rejected(
            f"{generator.name} draws {pictures.shape} values from {pictures.min():.3g} to {pictures.max():.3g}: (1, 3, "
            "320, 320) in [0, 1] are expected, so export it again with its last sigmoid."
        )


def _in_unit_range(pictures: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    return bool(pictures.min() >= -_SLACK and pictures.max() <= 1 + _SLACK)  # false for NaN too


def _refuse_external_weights(path: Path) -> None:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            external = data.find(_EXTERNAL_TENSOR) >= 0
    except ValueError:  # an empty file cannot be mapped
        raise Rejected(f"{path} is empty: export the network again.") from None
    except OSError as error:
        raise Rejected(f"Reading {path} failed: {os.strerror(error.errno or 0)}.") from error
    if external:
        raise Rejected(
            f"{path} keeps weights in another file: export it as one file (torch.onnx.export with external_data=False)."
        )
