"""A generator cut in two: what depends on the template frame alone, and the rest.

The first, the encoder half, runs once per template frame; what it hands over is kept (see `workers.painter`), and only
the decoder half runs for every output frame. Where to cut is read off the graph, so that every architecture has its
halves. Pictures come and go as uint8: a face costs 0.3 MB on its way to a device, not 2.5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from workers.avatar.networks import rewriting
from workers.avatar.networks.graph import Graph, Shape
from workers.avatar.networks.half_tensors import BANK, FACE, HEARD, KEPT_FACE, PAINTED, SLOTS
from workers.render.crop import FACE_PX, MASK_COLUMNS, MASK_ROWS

KEPT_TYPES: Final = (TensorProto.FLOAT, TensorProto.FLOAT16)
"""Tensors of other types are made anew from the face."""
MAX_KEPT_BYTES: Final = 8_000_000
"""Larger tensors are made anew from the face: reading them from the memory takes longer than that."""
MAX_GROWTH_BYTES: Final = 1_500_000
"""A 1x1 convolution of what is kept is done in advance when its result is not larger by more than this."""


@dataclass(frozen=True)
class Halves:
    """Both halves as ONNX files.

    The encoder half takes one `face`, uint8 (1, 320, 320, 3) BGR, and gives tensors of any names to be kept. The
    decoder half takes those of each frame of a batch, and `heard`, float32 (batch, 32, 16, 16), and gives `painted`,
    uint8 (batch, 320, 320, 3) BGR. It takes them under their own names; or from a bank: then `bank.<name>` holds those
    of many template frames, and `slots`, int64 (batch,), says which.
    """

    encoder: bytes
    decoder: bytes


def split(fixed: Callable[[int], onnx.ModelProto], batch: int, *, from_bank: bool, in_stripes: bool) -> Halves:
    """Cut a generator in two.

    Args:
        fixed: gives the generator with all shapes fixed for a batch size, as ONNX Runtime's basic optimisation leaves
            it: inputs float32 (N, 6, 320, 320) and (N, 32, 16, 16), output float32 (N, 3, 320, 320).
        batch: output frames in one run of the decoder half.
        from_bank: whether the decoder half picks the tensors of its template frames itself, or takes just those.
        in_stripes: whether to save memory traffic where that takes more and smaller steps: good for a CPU.

    """
    several = _whole(fixed(batch))
    single = several if batch == 1 else _whole(fixed(1))
    cut, seen, shapes, rows = _frontier(several), several.inputs[0], several.shapes(), single.shapes()
    fits = {name for name in cut if _can_be_kept(rows.get(name, ()), shapes.get(name, ()), batch)}
    floats = {name for name, value in several.values().items() if value.type.tensor_type.elem_type in KEPT_TYPES}
    kept = [name for name in cut if name != seen and name in fits & floats]
    sees_face = len(kept) < len(cut) or not kept
    return Halves(
        _encoder(single, kept, keep_face=sees_face, in_stripes=in_stripes),
        _decoder(several, kept, batch, sees_face=sees_face, from_bank=from_bank, in_stripes=in_stripes),
    )


def _whole(model: onnx.ModelProto) -> Graph:
    """The generator's graph; with a prefix, its names cannot be those of what is put around it."""
    graph = Graph(onnx.compose.add_prefix(model, "whole/"))
    rewriting.drop_empty_pads(graph)
    rewriting.convolve_before_enlarging(graph)
    rewriting.convolve_apart(graph, _hearing(graph))
    graph.drop_unneeded()
    return graph


def _can_be_kept(row: Shape, rows: Shape, batch: int) -> bool:
    """Whether a tensor of one frame and of a batch of them has a row for each frame, and is not too large to keep."""
    return rows == (batch, *row[1:]) and 0 < 4 * math.prod(row) <= MAX_KEPT_BYTES


def _encoder(whole: Graph, kept: list[str], *, keep_face: bool, in_stripes: bool) -> bytes:
    seen = whole.inputs[0]
    values = whole.values()
    part = whole.part([values[seen]], [values[name] for name in kept])
    rewriting.rewrite(part, in_stripes=in_stripes)
    outputs = [values[name] for name in kept]
    nodes = [*_from_picture(part, FACE, seen), *part.nodes]
    if keep_face:
        outputs.insert(0, _picture(KEPT_FACE, 1))
        nodes.append(helper.make_node("Identity", [FACE], [KEPT_FACE]))
    return part.with_frame(nodes, [_picture(FACE, 1)], outputs)


def _decoder(whole: Graph, kept: list[str], batch: int, *, sees_face: bool, from_bank: bool, in_stripes: bool) -> bytes:
    (seen, heard), (drawn,) = whole.inputs, whole.outputs
    values = whole.values()
    taken = [*([seen] if sees_face else []), *kept, heard]
    part = whole.part([values[name] for name in taken], [values[drawn]])
    rewriting.rewrite(part, in_stripes=in_stripes)
    inputs = [*([_picture(KEPT_FACE, batch)] if sees_face else []), *(values[name] for name in kept)]
    nodes: list[Any] = []
    if from_bank:
        inputs, nodes = _from_bank(inputs)
        inputs.append(helper.make_tensor_value_info(SLOTS, TensorProto.INT64, [batch]))
    inputs.append(helper.make_tensor_value_info(HEARD, TensorProto.FLOAT, [batch, 32, 16, 16]))
    nodes.append(helper.make_node("Identity", [HEARD], [heard]))
    nodes += _from_picture(part, KEPT_FACE, seen) if sees_face else []
    return part.with_frame([*nodes, *part.nodes, *_to_picture(part, drawn)], inputs, [_picture(PAINTED, batch)])


def _picture(name: str, batch: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, FACE_PX, FACE_PX, 3])


def _from_picture(graph: Graph, picture: str, result: str) -> list[Any]:
    """What `crop.network_input` does, for a batch: uint8 BGR, rows first → face and masked face, CHW in [0, 1]."""
    mask = np.ones((1, 1, FACE_PX, FACE_PX), np.float32)
    mask[:, :, MASK_ROWS, MASK_COLUMNS] = 0
    steps = [f"{picture}.{step}" for step in ("planes", "float", "face", "masked")]
    planes, as_float, face, masked = steps
    return [
        helper.make_node("Transpose", [picture], [planes], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", [planes], [as_float], to=TensorProto.FLOAT),
        helper.make_node("Div", [as_float, graph.constant("white", np.array(255, np.float32))], [face]),
        helper.make_node("Mul", [face, graph.constant("mask", mask)], [masked]),
        helper.make_node("Concat", [face, masked], [result], axis=1),
    ]


def _to_picture(graph: Graph, drawn: str) -> list[Any]:
    """What `composite.face_picture` does, for a batch: CHW in [0, 1] → uint8 BGR rows first, truncated."""
    return [
        helper.make_node("Mul", [drawn, graph.constant("white", np.array(255, np.float32))], ["painted.float"]),
        helper.make_node("Cast", ["painted.float"], ["painted.planes"], to=TensorProto.UINT8),
        helper.make_node("Transpose", ["painted.planes"], [PAINTED], perm=[0, 2, 3, 1]),
    ]


def _from_bank(tensors: list[onnx.ValueInfoProto]) -> tuple[list[onnx.ValueInfoProto], list[Any]]:
    """Inputs that hold the tensors of many template frames, and what picks those of a batch."""
    inputs, nodes = [], []
    for tensor in tensors:
        kind = tensor.type.tensor_type
        shape = ["frames", *(dim.dim_value for dim in kind.shape.dim[1:])]
        inputs.append(helper.make_tensor_value_info(BANK + tensor.name, kind.elem_type, shape))
        nodes.append(helper.make_node("Gather", [BANK + tensor.name, SLOTS], [tensor.name], axis=0))
    return inputs, nodes


def _hearing(graph: Graph) -> set[str]:
    """Tensors that know something of the audio."""
    hearing = {graph.inputs[1]}
    for node in graph.nodes:
        if any(name in hearing for name in node.input):
            hearing.update(node.output)
    return hearing


def _frontier(graph: Graph) -> list[str]:
    """Tensors to hand over: they know nothing of the audio, and whatever nodes that do know it take is made of them."""
    hearing, shapes = _hearing(graph), graph.shapes()
    found: dict[str, None] = {}
    for node in graph.nodes:
        if any(name in hearing for name in node.output):
            unknowing = (name for name in node.input if name and name not in hearing and name not in graph.constants)
            found.update((_before_growth(graph, name, shapes), None) for name in unknowing)
    return list(found)


def _before_growth(graph: Graph, name: str, shapes: dict[str, Shape]) -> str:
    """A tensor, or what it is made of where that is so much smaller that it is better kept."""
    maker = graph.maker.get(name)
    if maker is None or not rewriting.is_pointwise(graph, maker):
        return name
    source = maker.input[0]
    growth = 4 * (math.prod(shapes.get(name, ())[1:]) - math.prod(shapes.get(source, ())[1:]))
    return source if growth > MAX_GROWTH_BYTES else name
