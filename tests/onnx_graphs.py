"""Small ONNX graphs, written down operator by operator."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from workers.avatar.networks.graph import Graph

Float32 = npt.NDArray[np.float32]


@dataclass
class Net:
    """A graph under construction; every method appends nodes and gives the name of their result."""

    inputs: Mapping[str, Sequence[int | str]]
    opset: int = 17
    kind: int = TensorProto.FLOAT
    weights_kind: int | None = None
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def node(self, operator: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        name = result or f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: npt.NDArray[Any]) -> str:
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def floats(self, *shape: int) -> str:
        kind = helper.tensor_dtype_to_np_dtype(self.weights_kind or self.kind)
        return self.constant(self.chance.normal(0, 1, shape).astype(kind))

    def conv(
        self,
        tensor: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        bias: bool = True,
        groups: int = 1,
        **more: Any,
    ) -> str:
        """A convolution that leaves the size as it is, unless `more` says otherwise."""
        weights = [self.floats(outputs, inputs // groups, kernel, kernel), *([self.floats(outputs)] if bias else [])]
        attributes: dict[str, Any] = {"pads": [kernel // 2] * 4, "group": groups} | more
        return self.node("Conv", tensor, *weights, **attributes)

    def enlarged(self, tensor: str, *, mode: str = "linear", **more: Any) -> str:
        """Twice the height and the width."""
        return self.node("Resize", tensor, "", self.constant(np.array([1, 1, 2, 2], np.float32)), mode=mode, **more)

    def inverted_residual(
        self, tensor: str, inputs: int, inner: int, outputs: int, *, bias: bool = True, kernel: int = 3, **more: Any
    ) -> str:
        """1x1, depthwise, 1x1, with ReLU between them."""
        wide = self.node("Relu", self.conv(tensor, inputs, inner, bias=bias))
        seen = self.node("Relu", self.conv(wide, inner, inner, kernel, groups=inner, bias=bias, **more))
        return self.conv(seen, inner, outputs, bias=bias)

    def model(self, *outputs: str) -> onnx.ModelProto:
        taken = [helper.make_tensor_value_info(name, self.kind, shape) for name, shape in self.inputs.items()]
        given = [helper.make_tensor_value_info(name, self.kind, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", taken, given, initializer=self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model

    def graph(self, *outputs: str) -> Graph:
        return Graph(self.model(*outputs))


def answers(model: onnx.ModelProto | bytes, inputs: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """What ONNX Runtime makes of inputs, without any optimisation of its own."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def any_inputs(model: onnx.ModelProto, seed: int = 1) -> dict[str, npt.NDArray[Any]]:
    """Normal values for all inputs of a model."""
    chance = np.random.default_rng(seed)
    return {
        tensor.name: chance.normal(0, 1, [dim.dim_value for dim in tensor.type.tensor_type.shape.dim]).astype(
            helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
        )
        for tensor in model.graph.input
    }


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How often each operator occurs."""
    return Counter(node.op_type for node in model.graph.node)


def rewritten(rewrite: Callable[[Graph], None], net: Net, *outputs: str, rtol: float = 1e-5) -> onnx.ModelProto:
    """Rewrite a graph, hold its answers against those that it gave before, and give the result."""
    before = net.model(*outputs)
    graph = net.graph(*outputs)
    rewrite(graph)
    after = graph.finished()
    onnx.checker.check_model(after, full_check=True)
    inputs = any_inputs(before)
    for found, expected in zip(answers(after, inputs), answers(before, inputs), strict=True):
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    return after


def assert_left_alone(rewrite: Callable[[Graph], None], net: Net, *outputs: str) -> None:
    """Hold the nodes of a rewritten graph against those that it had."""
    before, after = net.graph(*outputs).finished(), rewritten(rewrite, net, *outputs)
    assert [(node.op_type, node.input, node.output) for node in after.graph.node] == [
        (node.op_type, node.input, node.output) for node in before.graph.node
    ]


def weights_of(model: onnx.ModelProto, kind: Callable[[Any, tuple[int, ...]], bool]) -> list[tuple[int, ...]]:
    """Shapes of the weights of those convolutions that are of a kind, told by node and shape."""
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    found = ((node, shapes[node.input[1]]) for node in model.graph.node if node.op_type == "Conv")
    return [shape for node, shape in found if kind(node, shape)]


def depthwise(node: Any, shape: tuple[int, ...]) -> bool:
    """A kind for `weights_of`."""
    return shape[1] == 1 and shape[0] > 1


def small_and_skip(opset: int = 17) -> Net:
    """What the two branches of a U-net bring to where they meet."""
    return Net({"small": [1, 6, 5, 5], "skip": [1, 4, 10, 10]}, opset)
