"""The two networks of a SyncTalk_2D avatar as a table of convolutions, and the ONNX graph that they make.

One walk over the architecture serves both, and synthetic and trained networks alike: every convolution is recorded
under its name in a checkpoint, so that the table proves the topology by the reference's own counts of parameters, while
the weights that are written have batch normalisation folded in.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.errors import Failed
from workers.avatar.networks.weights import Conv, Weights

try:
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    raise Failed(
        "Writing the networks of an avatar needs the package `onnx`: install lipsync-fleet with its extra `cpu` or "
        "`gpu` (synthetic avatars) or `train` (trained ones)."
    ) from None

OPSET = 17
IR_VERSION = 8  # the one of ONNX 1.12, which brought opset 17; a newer one only shuts out older runtimes


@dataclass
class Graph:
    """An ONNX graph under construction; every method appends nodes and returns the name of their result."""

    source: Weights
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
        name: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        norm: str | None = None,
        stride: tuple[int, int] = (1, 1),
        padding: int = 0,
        groups: int = 1,
        bias: bool = False,
        gain: float = 1.0,
    ) -> str:
        """Append a convolution with the source's weights.

        Args:
            tensor: what it is applied to.
            name: of the layer in a checkpoint.
            inputs: channels.
            outputs: channels.
            kernel: rows and columns.
            norm: name of the batch normalisation that follows in the reference.
            stride: rows, columns.
            padding: on all four sides.
            groups: of channels; `inputs` for a depthwise one.
            bias: whether the reference's has one; the folded one always does.
            gain: of seeded weights.
        """
        conv = Conv(name, inputs, outputs, kernel, groups, bias, norm)
        self.convs.append(conv)
        filters = self.source.filters(conv, gain)
        return self.node(
            "Conv",
            tensor,
            self.constant(filters.weights),
            self.constant(filters.biases),
            kernel_shape=[kernel, kernel],
            strides=list(stride),
            pads=[padding] * 4,
            group=groups,
        )

    def relu(self, tensor: str) -> str:
        """Append a rectifier."""
        return self.node("Relu", tensor)

    def inverted_residual(
        self, tensor: str, name: str, inputs: int, outputs: int, stride: int = 1, *, residual: bool
    ) -> str:
        """Append 1x1 to twice the width, 3x3 depthwise, 1x1 back; plus the input when residual."""
        layer = f"{name}.conv"
        wide, step = 2 * inputs, (stride, stride)
        inner = self.relu(self.conv(tensor, f"{layer}.0", inputs, wide, norm=f"{layer}.1", gain=_HE))
        inner = self.conv(
            inner, f"{layer}.3", wide, wide, 3, norm=f"{layer}.4", stride=step, padding=1, groups=wide, gain=_HE
        )
        gain = _BRANCH if residual else _HE
        branch = self.conv(self.relu(inner), f"{layer}.6", wide, outputs, norm=f"{layer}.7", gain=gain)
        return self.node("Add", branch, tensor) if residual else branch

    def double(self, tensor: str, name: str, inputs: int, outputs: int, stride: int = 1) -> str:
        """Append an inverted residual to another width, and one with its input added."""
        layer = f"{name}.double_conv"
        first = self.inverted_residual(tensor, f"{layer}.0", inputs, outputs, stride, residual=False)
        return self.inverted_residual(first, f"{layer}.1", outputs, outputs, residual=True)

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


def generator(source: Weights) -> tuple[bytes, list[Conv]]:
    """The generator: ONNX file and table of convolutions."""
    graph = Graph(source)
    skips = [graph.inverted_residual("input", "inc.inconv.0", 6, 32, residual=False)]
    for step, (inputs, outputs) in enumerate(((32, 32), (32, 64), (64, 128), (128, 256), (256, 512)), 1):
        skips.append(graph.double(skips[-1], f"down{step}.maxpool_conv.0", inputs, outputs, 2))
    tensor = graph.node("Concat", skips.pop(), _audio_branch(graph), axis=1)
    tensor = graph.double(tensor, "fuse_conv.0", 1024, 512)
    tensor = graph.double(tensor, "fuse_conv.1", 512, 256)
    for step, (inputs, outputs) in enumerate(((512, 128), (256, 64), (128, 32), (64, 32), (64, 16)), 1):
        tensor = graph.node("Concat", graph.upsampled(tensor), skips.pop(), axis=1)
        tensor = graph.double(tensor, f"up{step}.conv", inputs, outputs)
    tensor = graph.conv(tensor, "outc.conv", 16, 3, bias=True)
    graph.node("Sigmoid", tensor, result="output")
    shapes = {"input": [6, 320, 320], "audio": [32, 16, 16]}
    return graph.model(shapes, {"output": [3, 320, 320]}), graph.convs


def _audio_branch(graph: Graph) -> str:
    """What the generator makes of the features: 512x10x10 from 32x16x16."""
    name = "audio_model"
    heard = graph.inverted_residual("audio", f"{name}.conv1", 32, 64, residual=False)
    heard = graph.inverted_residual(heard, f"{name}.conv2", 64, 128, residual=False)
    heard = graph.conv(heard, f"{name}.conv3", 128, 256, 3, norm=f"{name}.bn3", padding=1, bias=True, gain=_HE)
    heard = graph.inverted_residual(graph.relu(heard), f"{name}.conv4", 256, 256, residual=True)
    heard = graph.conv(
        heard, f"{name}.conv5", 256, 512, 3, norm=f"{name}.bn5", stride=(2, 2), padding=3, bias=True, gain=_HE
    )
    heard = graph.inverted_residual(graph.relu(heard), f"{name}.conv6", 512, 512, residual=True)
    return graph.inverted_residual(heard, f"{name}.conv7", 512, 512, residual=True)


# Of the audio encoder: (inputs, outputs, kernel, stride, padding, residual).
_ENCODER = (
    (1, 32, 3, (1, 1), 1, False),
    (32, 32, 3, (1, 1), 1, True),
    (32, 32, 3, (1, 1), 1, True),
    (32, 64, 3, (3, 1), 1, False),
    (64, 64, 3, (1, 1), 1, True),
    (64, 64, 3, (1, 1), 1, True),
    (64, 128, 3, (3, 3), 1, False),
    (128, 128, 3, (1, 1), 1, True),
    (128, 128, 3, (1, 1), 1, True),
    (128, 256, 3, (3, 2), 1, False),
    (256, 256, 3, (1, 1), 1, True),
    (256, 512, 3, (1, 1), 0, False),
    (512, 512, 1, (1, 1), 0, False),
)


def audio_encoder(source: Weights) -> tuple[bytes, list[Conv]]:
    """The audio encoder: ONNX file and table of convolutions."""
    graph = Graph(source)
    tensor = "mel"
    for index, (inputs, outputs, kernel, stride, padding, residual) in enumerate(_ENCODER):
        branch = graph.conv(
            tensor,
            f"{index}.conv_block.0",
            inputs,
            outputs,
            kernel,
            norm=f"{index}.conv_block.1",
            stride=stride,
            padding=padding,
            bias=True,
            gain=_BRANCH if residual else _HE,
        )
        tensor = graph.relu(graph.node("Add", branch, tensor) if residual else branch)
    graph.node("Flatten", tensor, result="emb", axis=1)
    return graph.model({"mel": [1, 80, 16]}, {"emb": [512]}), graph.convs


def small_generator(source: Weights) -> bytes:
    """A generator of two convolutions that takes and gives the same tensors: the face, tinted by what is heard."""
    graph = Graph(source)
    heard = graph.conv("audio", "heard", 32, 3, 7, bias=True, gain=_CONTRAST)
    enlarge = graph.constant(np.array([1, 1, 32, 32], np.float32))  # 10x10 to 320x320
    tint = graph.node("Resize", heard, "", enlarge, mode="nearest")
    seen = graph.conv("input", "seen", 6, 3, bias=True, gain=_CONTRAST)
    graph.node("Sigmoid", graph.node("Add", seen, tint), result="output")
    return graph.model({"input": [6, 320, 320], "audio": [32, 16, 16]}, {"output": [3, 320, 320]})


def small_audio_encoder(source: Weights) -> bytes:
    """An audio encoder of two convolutions that takes and gives the same tensors."""
    graph = Graph(source)
    heard = graph.relu(graph.conv("mel", "heard", 1, 16, 16, stride=(16, 1), bias=True, gain=_HE))  # 16x5x1
    folded = graph.node("Reshape", heard, graph.constant(np.array([0, 80, 1, 1], np.int64)))
    heard = graph.relu(graph.conv(folded, "features", 80, 512, bias=True, gain=_HE))
    graph.node("Flatten", heard, result="emb", axis=1)
    return graph.model({"mel": [1, 80, 16]}, {"emb": [512]})
