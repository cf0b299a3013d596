"""Floating-point operations of a network: of its convolutions and matrix products, by the shapes that they really have.

The rest (sums, rectifiers, resizing) is a few percent of the operations and not counted, as is usual.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]


def count_operations(network: Path | bytes, folder: Path, batch: int = 1) -> int:
    """Count the operations of one run; a multiplication and an addition are two.

    The network is run once, unoptimised, under ONNX Runtime's profiler: shapes need not be inferred, and nodes that are
    not reached do not count.

    Args:
        network: the ONNX file, or its content.
        folder: for the profiler's record.
        batch: what dimensions are taken for that are not fixed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "operations")
    options.log_severity_level = 3
    source = network if isinstance(network, bytes) else str(network)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    session.run(None, {tensor.name: _nothing(tensor, batch) for tensor in session.get_inputs()})
    events = json.loads(Path(session.end_profiling()).read_text())
    return sum(operations_of(*kernel) for kernel in _kernels(events))


def operations_of(kind: str, inputs: list[Shape], output: Shape) -> int:
    """Operations of one kernel.

    Args:
        kind: of the operator, as ONNX names it.
        inputs: shapes of its tensors, those of weights that were packed beforehand left out.
        output: shape of what it makes.
    """
    if kind == "Conv":
        weights = inputs[1]
        return 2 * math.prod(output) * math.prod(weights[1:])  # inputs of a group, rows, columns
    if kind in {"MatMul", "Gemm"}:
        return 2 * math.prod(output) * inputs[0][-1]
    return 0


def _nothing(tensor: Any, batch: int) -> npt.NDArray[Any]:
    """Zeros that a session's input takes."""
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    shape = [size if isinstance(size, int) else batch for size in tensor.shape]
    return np.zeros(shape, {"float": "float32", "double": "float64"}.get(kind, kind))


def _kernels(events: list[dict[str, Any]]) -> Iterator[tuple[str, list[Shape], Shape]]:
    for event in events:
        facts = event.get("args", {})
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time") and facts.get("output_type_shape"):
            inputs = [tuple(shape) for tensor in facts["input_type_shape"] for shape in tensor.values()]
            (output,) = facts["output_type_shape"][0].values()
            yield facts["op_name"], inputs, tuple(output)
