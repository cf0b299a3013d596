"""Trained checkpoints of SyncTalk_2D (`.pth`): read as plain tensors, never unpickled, and proved name by name."""

import contextlib
import hashlib
import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from infra.errors import Failed, Rejected
from infra.store_directory import file_error
from workers.avatar.given import check_file
from workers.avatar.networks.weights import Conv, Filters

Float64 = npt.NDArray[np.float64]

_EPSILON: Final = 1e-5  # of the reference's batch normalisation, PyTorch's default
_PREFIXES: Final = ("module.", "audio_encoder.")  # of DataParallel, and of published audio encoders
_COUNTER: Final = ".num_batches_tracked"  # of training steps: says nothing about the network
_MAX_BYTES: Final = 2_000_000_000  # the generator's weights, thrice with what an optimiser keeps, take 150 MB
_PROTOCOL: Final = 2  # of pickle, that PyTorch writes and its reader of plain weights understands
_DIVERGED: Final = "the training diverged, take the checkpoint of an earlier epoch"
_AUDIO_LAYER: Final = "audio_model.conv1.conv.0.weight"
_GENERATOR_LAYER: Final = "inc.inconv.0.conv.0.weight"
_ENCODER_LAYER: Final = "0.conv_block.0.weight"


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint under the names of `topology`."""

    path: Path
    digest: str
    """SHA-256 of the file."""
    tensors: Mapping[str, Any]
    """Name → PyTorch tensor of floats on the CPU, of any shape yet."""


def is_checkpoint(path: Path) -> bool:
    """Whether a network is given as a checkpoint and not as ONNX."""
    return path.suffix.lower() == ".pth"


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint: a state dict, or a dictionary of a training run that holds exactly one.

    Raises:
        Rejected: it is no file, or far too large, holds anything that would have to be unpickled, or no state dict.
        Failed: PyTorch is not installed, or the file cannot be read.
    """
    try:
        import torch  # large, and needed by no other command
    except ImportError:
        raise Failed(f"Converting {path.name} needs PyTorch: install lipsync-fleet[train].") from None
    data, protocol = _content(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the sentence below says more to the point
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what a file that is damaged or hostile makes of the reader has no common base
        if protocol > _PROTOCOL:
            raise Rejected(
                f"{path} is refused: it was saved with pickle protocol {protocol}, of which PyTorch's reader of plain "
                "weights does not understand all; save it again without pickle_protocol."
            ) from error
        raise Rejected(
            f"{path} is refused: it is damaged or holds more than weights, which is never unpickled; save the weights "
            "alone, with torch.save(network.state_dict(), FILE)."
        ) from error
    tensors = _plain_names(_state_dict(loaded, path, torch.Tensor))
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise Rejected(f"{path} is refused: its {name} holds {tensor.dtype}, {tensor.layout}, not plain floats.")
    return Checkpoint(path, hashlib.sha256(data).hexdigest(), tensors)


def _content(path: Path) -> tuple[bytes, int]:
    """The bytes of a checkpoint that is not too large to be one, and the pickle protocol that it was saved with.

    The protocol is 0 where nothing tells it.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            _check_size(path, os.fstat(file.fileno()).st_size)
            data = file.read()
    except OSError as error:
        raise file_error(f"Reading {path}", error) from error
    head, unpacked = data[:2], 0
    # Files of older formats are no archives, and the reader of weights finds what is damaged: its errors are as many.
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        for name in archive.namelist():
            if name.endswith("/data.pkl") and unpacked <= _MAX_BYTES:
                with archive.open(name) as pickled:
                    head = pickled.read(2)
    _check_size(path, unpacked)
    return data, head[1] if len(head) == 2 and head[:1] == pickle.PROTO else 0


def _check_size(path: Path, size: int) -> None:
    if size > _MAX_BYTES:
        raise Rejected(
            f"{path} is refused: it holds {size / 1e9:.1f} GB, and a checkpoint of one network takes far less than "
            f"{_MAX_BYTES / 1e9:.0f} GB; save the weights alone, with torch.save(network.state_dict(), FILE)."
        )


def _state_dict(loaded: object, path: Path, kind: type) -> dict[str, Any]:
    """The tensors of the dictionary itself, or else of the only one inside it that has any."""
    if isinstance(loaded, Mapping):
        found = [_tensors(loaded, kind)] if _tensors(loaded, kind) else [_tensors(v, kind) for v in loaded.values()]
        held = [tensors for tensors in found if tensors]
        if len(held) == 1:
            return held[0]
    raise Rejected(
        f"{path} does not hold exactly one network's weights: save them alone, with torch.save(network.state_dict(), "
        "FILE)."
    )


def _tensors(value: object, kind: type) -> dict[str, Any]:
    entries = value.items() if isinstance(value, Mapping) else ()
    return {name: item for name, item in entries if isinstance(name, str) and isinstance(item, kind)}


def _plain_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Without the counters, and without the prefixes that all names share."""
    named = {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTER)}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


class Trained:
    """A checkpoint as the source of a network's weights (`weights.Weights`).

    Batch normalisation is folded in float64 and rounded once: the same file gives the same bytes on any machine.
    """

    def __init__(self, checkpoint: Checkpoint, what: str):
        self._checkpoint = checkpoint
        self._what = what
        self._left = set(checkpoint.tensors)

    def filters(self, conv: Conv, gain: float) -> Filters:  # noqa: ARG002 - trained weights have their size already
        """Take the filters of one convolution.

        Raises:
            Rejected: the checkpoint lacks a tensor of it, has it in another shape, or with values that are not finite.
        """
        values = {name: self._take(name, shape) for name, shape in conv.tensors.items()}
        weights = values[f"{conv.name}.weight"]
        biases = values.get(f"{conv.name}.bias", np.zeros(conv.outputs))
        if conv.norm is not None:
            weight, bias, mean, variance = (
                values[f"{conv.norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
            )
            with np.errstate(invalid="ignore"):  # a variance below zero is found below
                scale = weight / np.sqrt(variance + _EPSILON)
            weights = weights * scale[:, None, None, None]
            biases = (biases - mean) * scale + bias
        with np.errstate(over="ignore"):
            filters = Filters(weights.astype(np.float32), biases.astype(np.float32))
        if not all(np.isfinite(part).all() for part in filters):
            raise self._refusal(f"{conv.name} with {conv.norm} folded in has values that are not finite", _DIVERGED)
        return filters

    def finish(self) -> None:
        """Refuse a checkpoint that holds more than the network took."""
        if self._left:
            name = min(self._left)
            more = f" and {len(self._left) - 1} more" if len(self._left) > 1 else ""
            shape = tuple(self._checkpoint.tensors[name].shape)
            raise self._refusal(f"it holds {name}{more}, of shape {shape}, where nothing is expected", self._hint())

    def _take(self, name: str, shape: tuple[int, ...]) -> Float64:
        tensor = self._checkpoint.tensors.get(name)
        if tensor is None:
            raise self._refusal(f"it lacks {name}, where shape {shape} is expected", self._hint())
        if tuple(tensor.shape) != shape:
            raise self._refusal(f"its {name} has shape {tuple(tensor.shape)}, expected is {shape}", self._hint())
        self._left.discard(name)
        values: Float64 = tensor.detach().double().numpy()
        if not np.isfinite(values).all():
            raise self._refusal(f"its {name} holds values that are not finite", _DIVERGED)
        return values

    def _hint(self) -> str:
        """What the checkpoint is instead, as far as its tensors tell."""
        tensors = self._checkpoint.tensors
        if self._what == "generator" and _ENCODER_LAYER in tensors:
            return "these are an audio encoder's weights, give them with --audio-encoder"
        if self._what == "audio encoder" and _GENERATOR_LAYER in tensors:
            return "these are a generator's weights, give them with --generator"
        layer = tensors.get(_AUDIO_LAYER)
        if layer is not None and layer.ndim == 4 and layer.shape[1] != 32:
            return (
                f"it was trained for another audio front end, which gives {layer.shape[1]} channels instead of 32; "
                "train it with the front end `ave`"
            )
        return "give a checkpoint of the 328-pixel network"

    def _refusal(self, found: str, hint: str) -> Rejected:
        return Rejected(f"{self._checkpoint.path} cannot become the {self._what}: {found}; {hint}.")
