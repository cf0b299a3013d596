"""Proof that two ONNX files are the networks of the render contract, before they become part of a pack."""

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.errors import Rejected
from infra.settings import Settings
from infra.store_directory import file_error
from workers.avatar.findings import Finding, Reading, attempt, insist
from workers.avatar.given import check_file
from workers.lip_model import Network, load_audio_encoder, load_generator
from workers.sessions import NotANetwork, first_line, runtime_errors

# How a tensor that lies in another file names that file in protobuf's wire format: a StringStringEntryProto with the
# key "location" (onnx.proto, `TensorProto.external_data`).
_EXTERNAL_TENSOR = b"\x0a\x08location\x12"
_SLACK = 1e-3  # pictures lie in [0, 1]; a sigmoid may be rounded past the ends

Float32 = npt.NDArray[np.float32]


def prove_networks(generator: Path, audio_encoder: Path, settings: Settings) -> None:
    """Load both networks and run them once on silence and a grey face.

    Raises:
        Rejected: a file is missing, keeps its weights in another file, or is not a network of the render contract.
        Failed: ONNX Runtime is not installed, or cannot do what the settings ask for.
    """
    insist(examine_generator(generator, settings))
    insist(examine_audio_encoder(audio_encoder, settings))


def examine_generator(path: Path, settings: Settings) -> Reading[int]:
    """Load a generator and run it once on silence and a grey face.

    Returns:
        How many frames it draws at a time; 1 when it cannot be loaded.

    Raises:
        Failed: ONNX Runtime is not installed, or cannot do what the settings ask for.
    """
    network = yield from _load(path, load_generator, settings)
    if network is None:
        return 1
    face, silence = np.full((1, 6, 320, 320), 0.5, np.float32), np.zeros((1, 32, 16, 16), np.float32)
    pictures = yield from attempt("network-output", _run, network, path, face, silence)
    if pictures is not None and (pictures.shape != (1, 3, 320, 320) or not _in_unit_range(pictures)):
        sentence = (
            f"{path.name} draws {pictures.shape} values from {pictures.min():.3g} to {pictures.max():.3g}: (1, 3, 320, "
            "320) in [0, 1] are expected, so export it again with its last sigmoid."
        )
        yield Finding("error", "network-output", sentence)
    return network.batch


def examine_audio_encoder(path: Path, settings: Settings) -> Reading[None]:
    """Load an audio encoder and run it once on silence.

    Raises:
        Failed: ONNX Runtime is not installed, or cannot do what the settings ask for.
    """
    network = yield from _load(path, load_audio_encoder, settings)
    if network is None:
        return
    features = yield from attempt("network-output", _run, network, path, np.full((1, 1, 80, 16), -4, np.float32))
    if features is not None and (features.shape != (1, 512) or not np.isfinite(features).all()):
        sentence = (
            f"{path.name} turns silence into {features.shape} values, some of which may be infinite: finite (1, 512) "
            "are expected, so export it again."
        )
        yield Finding("error", "network-output", sentence)


def _load(path: Path, load: Callable[[Path, Settings], Network], settings: Settings) -> Reading[Network | None]:
    if (yield from attempt("network-file", _whole, path)) is None:
        return None
    try:
        return load(path, settings)
    except NotANetwork as error:
        refused = Finding("error", "network-file", f"{error}: export the network again.")
    except Rejected as error:
        refused = Finding("error", "network-shape", str(error))
    yield refused
    return None


def _run(network: Network, path: Path, *tensors: Float32) -> Float32:
    try:
        return network.run(*tensors)
    except runtime_errors() as error:
        raise Rejected(f"{path.name} loads but cannot run, export it again: {first_line(error)}") from error


def _in_unit_range(pictures: Float32) -> bool:
    return bool(pictures.min() >= -_SLACK and pictures.max() <= 1 + _SLACK)  # false for NaN too


def _whole(path: Path) -> Path:
    """Refuse a file that is empty or keeps weights elsewhere."""
    check_file(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            external = data.find(_EXTERNAL_TENSOR) >= 0
    except ValueError:  # an empty file cannot be mapped
        raise Rejected(f"{path} is empty: export the network again.") from None
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error
    if external:
        raise Rejected(
            f"{path} keeps weights in another file: export it as one file (torch.onnx.export with external_data=False)."
        )
    return path
