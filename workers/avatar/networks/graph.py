"""An ONNX graph that can be asked and changed: who makes a tensor, who takes it, how large it is."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Shape = tuple[int, ...]


class Graph:
    """A model whose tensors all have fixed shapes, as ONNX Runtime's basic optimisation leaves it.

    Nodes stay in an order in which each comes after those that it needs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[Any] = list(model.graph.node)
        self.constants: dict[str, npt.NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self.inputs = [tensor.name for tensor in model.graph.input if tensor.name not in self.constants]
        self.outputs = [tensor.name for tensor in model.graph.output]
        self.index()

    def index(self) -> None:
        """Look anew at who makes and who takes what; after nodes were added or changed."""
        self.maker: dict[str, Any] = {name: node for node in self.nodes for name in node.output}
        self.takers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.takers[name].append(node)

    def values(self) -> dict[str, onnx.ValueInfoProto]:
        """Type and shape of all tensors of which they can be inferred."""
        inferred = onnx.shape_inference.infer_shapes(self.finished()).graph
        return {value.name: value for value in [*inferred.value_info, *inferred.input, *inferred.output]}

    def shapes(self) -> dict[str, Shape]:
        """Shapes of all tensors of which they can be inferred."""
        found = self.values()
        return {name: tuple(dim.dim_value for dim in found[name].type.tensor_type.shape.dim) for name in found}

    def sole_taker(self, name: str) -> Any | None:
        """The one node that takes a tensor; None when there are more, or when it leaves the graph."""
        takers = self.takers[name]
        return takers[0] if len(takers) == 1 and name not in self.outputs else None

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        """Add a constant and give its name."""
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def replace(self, old: Any, new: Iterable[Any]) -> None:
        """Put nodes where one was; one of them makes what it made."""
        at = next(index for index, node in enumerate(self.nodes) if node is old)
        self.nodes[at : at + 1] = list(new)
        self.index()

    def bypass(self, node: Any) -> None:
        """Take out a node that gives what it gets."""
        source, name = node.input[0], node.output[0]
        if name in self.outputs:
            return
        for taker in self.takers[name]:
            for place, taken in enumerate(taker.input):
                if taken == name:
                    taker.input[place] = source
        self.replace(node, [])

    def drop_unneeded(self) -> None:
        """Take out nodes that no output needs; rewritings leave such behind."""
        self.nodes, _ = _needed(self.nodes, set(self.outputs), set(self.inputs))
        self.index()

    def part(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> "Graph":
        """What lies between tensors; everything that no output needs is left out."""
        known, wanted = {value.name for value in inputs}, {value.name for value in outputs}
        nodes, needed = _needed(self.nodes, wanted, known)
        part = Graph(self._model(nodes, inputs, outputs))
        part.constants = {name: value for name, value in self.constants.items() if name in needed}
        return part

    def finished(self) -> onnx.ModelProto:
        """The graph as a model, without what no output needs."""
        return onnx.load_model_from_string(
            self.with_frame(self.nodes, list(self.model.graph.input), list(self.model.graph.output))
        )

    def with_frame(
        self, nodes: list[Any], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> bytes:
        """An ONNX file of these nodes and this graph's constants, without what no output needs."""
        nodes, needed = _needed(nodes, {value.name for value in outputs}, {value.name for value in inputs})
        model = self._model(nodes, [value for value in inputs if value.name not in self.constants], outputs)
        used = ((name, value) for name, value in self.constants.items() if name in needed)
        model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in used)
        return bytes(model.SerializeToString())

    def _model(
        self, nodes: list[Any], inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(nodes, self.model.graph.name or "generator", inputs, outputs)
        imports = self.model.opset_import
        return helper.make_model(graph, opset_imports=imports, ir_version=self.model.ir_version)


def _needed(nodes: list[Any], wanted: set[str], known: set[str]) -> tuple[list[Any], set[str]]:
    """The nodes that make the wanted tensors out of the known ones, and the names of all that they take or are."""
    found, names = [], set(wanted)
    for node in reversed(nodes):
        if any(name in names and name not in known for name in node.output):
            found.append(node)
            names.update(node.input)
    return found[::-1], names


def has_subgraphs(node: Any) -> bool:
    """Whether a node runs graphs of its own, as `If` and `Loop` do; they may take tensors that it does not name."""
    return any(item.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for item in node.attribute)


def attribute(node: Any, name: str, default: Any) -> Any:
    """An attribute of a node."""
    found = next((item for item in node.attribute if item.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def copy_attributes(source: Any, target: Any, **changed: Any) -> Any:
    """Give a node another one's attributes, some of them changed."""
    target.attribute.extend(item for item in source.attribute if item.name not in changed)
    target.attribute.extend(helper.make_attribute(name, value) for name, value in changed.items())
    return target
