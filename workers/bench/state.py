"""The weights of a pack's networks as a checkpoint holds them, so that PyTorch computes with the very same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infra.errors import Failed, Rejected
from workers.avatar.networks.weights import Conv, Filters
from workers.avatar.pack import Pack

if TYPE_CHECKING:
    from torch import Tensor

GENERATOR_STATE, AUDIO_ENCODER_STATE = "generator.pth", "audio_encoder.pth"
_EPSILON = 1e-5  # of PyTorch's batch normalisation: with this much less variance it divides by one

Float32 = npt.NDArray[np.float32]


class _Zeros:
    """Weights for the walk over a topology of which only the table of convolutions is wanted."""

    def filters(self, conv: Conv, gain: float) -> Filters:  # noqa: ARG002
        return Filters(np.zeros(conv.tensors[f"{conv.name}.weight"], np.float32), np.zeros(conv.outputs, np.float32))


def save_states(pack: Pack, folder: Path) -> None:
    """Write both networks of a pack as checkpoints.

    Raises:
        Rejected: they are not the networks of SyncTalk_2D, written by this package.
        Failed: PyTorch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise Failed("--reference races PyTorch, which is not installed: run `make train`.") from None
    from workers.avatar.networks import topology

    torch.save(_state(pack.generator, topology.generator(_Zeros())[1]), folder / GENERATOR_STATE)
    torch.save(_state(pack.audio_encoder, topology.audio_encoder(_Zeros())[1]), folder / AUDIO_ENCODER_STATE)


def _state(network: Path, convs: list[Conv]) -> dict[str, "Tensor"]:
    """A network's filters under the names of a checkpoint; normalisation, which is folded into them, does nothing."""
    import torch

    found = _filters(network)
    shapes = [conv.tensors[f"{conv.name}.weight"] for conv in convs]
    if [filters.weights.shape for filters in found] != shapes:
        raise Rejected(
            f"--reference races PyTorch with the networks of SyncTalk_2D, and {network} is another network: leave "
            "--avatar out, or name an avatar that was made of checkpoints."
        )
    state: dict[str, Float32] = {}
    for conv, filters in zip(convs, found, strict=True):
        ones, zeros = np.ones_like(filters.biases), np.zeros_like(filters.biases)
        state[f"{conv.name}.weight"] = filters.weights
        if conv.bias:
            state[f"{conv.name}.bias"] = zeros if conv.norm else filters.biases
        if conv.norm:
            state[f"{conv.norm}.weight"], state[f"{conv.norm}.bias"] = ones, filters.biases
            state[f"{conv.norm}.running_mean"] = zeros
            state[f"{conv.norm}.running_var"] = ones - np.float32(_EPSILON)
    return {name: torch.from_numpy(values) for name, values in state.items()}


def _filters(network: Path) -> list[Filters]:
    """The convolutions of an ONNX file, in the order in which they are computed."""
    import onnx
    from onnx import numpy_helper

    graph: Any = onnx.load(network).graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    taken = [node.input[1:] for node in graph.node if node.op_type == "Conv"]
    if not all(len(names) == 2 and weights.keys() >= set(names) for names in taken):
        return []
    # Copied: what `to_array` gives may be read-only memory of the file.
    return [Filters(*(np.array(numpy_helper.to_array(weights[name])) for name in names)) for names in taken]
