"""A network's convolutions, and where their weights come from: drawn from a seed here, trained in `checkpoints`."""

import math
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

_SHIFT = 0.1  # standard deviation of seeded biases: small beside the signal, which has the size of 1


class Conv(NamedTuple):
    """One convolution of the reference, followed by batch normalisation or not."""

    name: str
    """Of the layer in a checkpoint."""
    inputs: int
    outputs: int
    kernel: int
    groups: int
    bias: bool
    norm: str | None
    """Name of the batch normalisation that follows."""

    @property
    def parameters(self) -> int:
        """Trained parameters of the reference: weights, bias, and scale and shift of the normalisation."""
        weights = self.outputs * self.inputs // self.groups * self.kernel**2
        return weights + self.outputs * (self.bias + 2 * (self.norm is not None))

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of everything that a checkpoint holds of it, running statistics included."""
        shapes: dict[str, tuple[int, ...]] = {
            f"{self.name}.weight": (self.outputs, self.inputs // self.groups, self.kernel, self.kernel)
        }
        if self.bias:
            shapes[f"{self.name}.bias"] = (self.outputs,)
        if self.norm is not None:
            parts = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"{self.norm}.{part}": (self.outputs,) for part in parts}
        return shapes


class Filters(NamedTuple):
    """What one convolution of an ONNX file computes with, the normalisation that follows folded in."""

    weights: npt.NDArray[np.float32]
    """float32 (outputs, inputs // groups, kernel, kernel)."""
    biases: npt.NDArray[np.float32]
    """float32 (outputs,)."""


class Weights(Protocol):
    """Where the weights of a network come from; it is asked once for each convolution, in the order of the walk."""

    def filters(self, conv: Conv, gain: float) -> Filters:
        """The filters of one convolution.

        Args:
            conv: which one.
            gain: what it should make of its input's standard deviation; for weights that were never trained.
        """


class Seeded:
    """Weights drawn from a random generator: every layer keeps contrast and size of its signal."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng

    def filters(self, conv: Conv, gain: float) -> Filters:
        """Draw the filters of one convolution.

        The weights of a dense filter add up to zero: without normalisation the mean of its inputs would grow from layer
        to layer until every picture looked the same.
        """
        fan_in = conv.inputs // conv.groups * conv.kernel**2
        weights = self._rng.standard_normal((conv.outputs, conv.inputs // conv.groups, conv.kernel, conv.kernel))
        if conv.groups == 1:
            weights -= weights.mean(axis=(1, 2, 3), keepdims=True)
        weights *= gain / math.sqrt(fan_in)
        biases = self._rng.standard_normal(conv.outputs) * _SHIFT
        return Filters(weights.astype(np.float32), biases.astype(np.float32))
