"""The two networks of a SyncTalk_2D avatar as a table of convolutions, and the ONNX graph that they make.

One walk over the architecture serves both: every convolution is recorded, so that the table proves the topology by the
reference's own counts of parameters, while batch normalisation is folded into the weights that are written.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from infra.errors import Failed

try:
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    raise Failed("Drawing a synthetic avatar needs the package `onnx`: install lipsync-fleet[local].") from None

OPSET = 17
IR_VERSION = 8  # the one of ONNX 1.12, which brought opset 17; a newer one only shuts out older runtimes


class Conv(NamedTuple):
    """One convolution of the reference, followed by batch normalisation or not."""

    inputs: int
    outputs: int
    kernel: int
    groups: int
    bias: bool
    normed: bool

    @property
    def parameters(self) -> int:
        """Trained parameters of the reference: weights, bias, and scale and shift of the normalisation."""
        weights = self.outputs * self.inputs // self.groups * self.kernel**2
        return weights + self.outputs * (self.bias + 2 * self.normed)


@dataclass
class Graph:
    """An ONNX graph under construction; every method appends nodes and returns the name of their result."""

    rng: np.random.Generator
    convs: list[Conv] = field(default_factory=list)
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def node(self, kind: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        """Append one operator."""
        name = result or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: npt.NDArray[Any]) -> str:
        """Append weights."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(
        self,
        tensor: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
        normed: bool = True,
        gain: float = 1.0,
        shift: float = 0.1,
    ) -> str:
        """Append a convolution with seeded weights.

        The variance is that of its input times `gain` squared. The weights of a dense filter add up to zero: without
        normalisation the mean of its inputs would grow from layer to layer until every picture looked the same.
        """
        self.convs.append(Conv(inputs, outputs, kernel, groups, bias, normed))
        fan_in = inputs // groups * kernel**2
        weights = self.rng.standard_normal((outputs, inputs // groups, kernel, kernel))
        if groups == 1:
            weights -= weights.mean(axis=(1, 2, 3), keepdims=True)
        weights *= gain / math.sqrt(fan_in)
        biases = self.rng.standard_normal(outputs) * shift
        return self.node(
            "Conv",
            tensor,
            self.constant(weights.astype(np.float32)),
            self.constant(biases.astype(np.float32)),
            kernel_shape=[kernel, kernel],
            strides=list(stride),
            pads=[padding] * 4,
            group=groups,
        )

    def relu(self, tensor: str) -> str:
        """Append a rectifier."""
        return self.node("Relu", tensor)

    def inverted_residual(self, tensor: str, inputs: int, outputs: int, stride: int = 1, *, residual: bool) -> str:
        """Append 1x1 to twice the width, 3x3 depthwise, 1x1 back; plus the input when residual."""
        wide = 2 * inputs
        inner = self.relu(self.conv(tensor, inputs, wide, gain=_HE))
        inner = self.relu(self.conv(inner, wide, wide, 3, stride=(stride, stride), padding=1, groups=wide, gain=_HE))
        branch = self.conv(inner, wide, outputs, gain=_BRANCH if residual else _HE)
        return self.node("Add", branch, tensor) if residual else branch

    def double(self, tensor: str, inputs: int, outputs: int, stride: int = 1) -> str:
        """Append an inverted residual to another width, and one with its input added."""
        first = self.inverted_residual(tensor, inputs, outputs, stride, residual=False)
        return self.inverted_residual(first, outputs, outputs, residual=True)

    def upsampled(self, tensor: str) -> str:
        """Append bilinear doubling with aligned corners."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", tensor, "", scales, mode="linear", coordinate_transformation_mode="align_corners")

    def model(self, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> bytes:
        """Finish: the ONNX file, with a batch axis `N` of any length before the given shapes."""
        taken, given = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in named.items()]
            for named in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, "lipsync", taken, given, initializer=self.weights)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="lipsync-fleet"
        )
        return bytes(model.SerializeToString(deterministic=True))


_HE = math.sqrt(2)  # keeps the variance through a rectifier (He et al. 2015)
_CONTRAST = 2.0  # of the small generator: other audio and another face must be plain to see
_BRANCH = 0.5  # of a residual: its input carries most of the signal


def generator(rng: np.random.Generator) -> tuple[bytes, list[Conv]]:
    """The generator: ONNX file and table of convolutions."""
    graph = Graph(rng)
    skips = [graph.inverted_residual("input", 6, 32, residual=False)]
    for inputs, outputs in ((32, 32), (32, 64), (64, 128), (128, 256), (256, 512)):
        skips.append(graph.double(skips[-1], inputs, outputs, 2))
    heard = graph.inverted_residual("audio", 32, 64, residual=False)
    heard = graph.inverted_residual(heard, 64, 128, residual=False)
    heard = graph.relu(graph.conv(heard, 128, 256, 3, padding=1, bias=True, gain=_HE))
    heard = graph.inverted_residual(heard, 256, 256, residual=True)
    heard = graph.relu(graph.conv(heard, 256, 512, 3, stride=(2, 2), padding=3, bias=True, gain=_HE))
    heard = graph.inverted_residual(heard, 512, 512, residual=True)
    heard = graph.inverted_residual(heard, 512, 512, residual=True)
    tensor = graph.node("Concat", skips.pop(), heard, axis=1)
    tensor = graph.double(tensor, 1024, 512)
    tensor = graph.double(tensor, 512, 256)
    for inputs, outputs in ((512, 128), (256, 64), (128, 32), (64, 32), (64, 16)):
        tensor = graph.node("Concat", graph.upsampled(tensor), skips.pop(), axis=1)
        tensor = graph.double(tensor, inputs, outputs)
    tensor = graph.conv(tensor, 16, 3, bias=True, normed=False)
    graph.node("Sigmoid", tensor, result="output")
    shapes = {"input": [6, 320, 320], "audio": [32, 16, 16]}
    return graph.model(shapes, {"output": [3, 320, 320]}), graph.convs


def audio_encoder(rng: np.random.Generator) -> tuple[bytes, list[Conv]]:
    """The audio encoder: ONNX file and table of convolutions."""
    graph = Graph(rng)
    tensor, width = "mel", 1
    # (outputs, stride, residual blocks that follow), all 3x3 with padding 1.
    for outputs, stride, residuals in ((32, (1, 1), 2), (64, (3, 1), 2), (128, (3, 3), 2), (256, (3, 2), 1)):
        tensor = graph.relu(graph.conv(tensor, width, outputs, 3, stride=stride, padding=1, bias=True, gain=_HE))
        for _ in range(residuals):
            branch = graph.conv(tensor, outputs, outputs, 3, padding=1, bias=True, gain=_BRANCH)
            tensor = graph.relu(graph.node("Add", branch, tensor))
        width = outputs
    tensor = graph.relu(graph.conv(tensor, 256, 512, 3, bias=True, gain=_HE))
    tensor = graph.relu(graph.conv(tensor, 512, 512, bias=True, gain=_HE))
    graph.node("Flatten", tensor, result="emb", axis=1)
    return graph.model({"mel": [1, 80, 16]}, {"emb": [512]}), graph.convs


def small_generator(rng: np.random.Generator) -> bytes:
    """A generator of two convolutions that takes and gives the same tensors: the face, tinted by what is heard."""
    graph = Graph(rng)
    heard = graph.conv("audio", 32, 3, 7, bias=True, gain=_CONTRAST)
    enlarge = graph.constant(np.array([1, 1, 32, 32], np.float32))  # 10x10 to 320x320
    tint = graph.node("Resize", heard, "", enlarge, mode="nearest")
    seen = graph.conv("input", 6, 3, bias=True, gain=_CONTRAST)
    graph.node("Sigmoid", graph.node("Add", seen, tint), result="output")
    return graph.model({"input": [6, 320, 320], "audio": [32, 16, 16]}, {"output": [3, 320, 320]})


def small_audio_encoder(rng: np.random.Generator) -> bytes:
    """An audio encoder of two convolutions that takes and gives the same tensors."""
    graph = Graph(rng)
    heard = graph.relu(graph.conv("mel", 1, 16, 16, stride=(16, 1), bias=True, gain=_HE))  # 16x5x1
    folded = graph.node("Reshape", heard, graph.constant(np.array([0, 80, 1, 1], np.int64)))
    heard = graph.relu(graph.conv(folded, 80, 512, bias=True, gain=_HE))
    graph.node("Flatten", heard, result="emb", axis=1)
    return graph.model({"mel": [1, 80, 16]}, {"emb": [512]})
