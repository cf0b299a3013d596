"""The same network in fewer and smaller steps: rewritings that change results by float rounding only.

Each takes a graph, changes it where its pattern occurs and leaves everything else alone, so that a network of any
architecture comes through. What each is worth on the generator of the real size stands in docs/performance.md.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import helper

from workers.avatar.networks.graph import Graph, Shape, attribute, copy_attributes

BLOCK_CHANNELS: Final = 16  # ONNX Runtime's blocked layout on AVX-512; other counts are converted back and forth
STRIPE_CHANNELS: Final = 2 * BLOCK_CHANNELS
OUT_OF_CACHE_BYTES: Final = 16_000_000
"""Tensors above this leave a core's share of the cache before the next layer reads them."""


def rewrite(graph: Graph, *, in_stripes: bool) -> None:
    """Do what is to be done once a graph is cut; in stripes, where memory traffic matters more than steps: on a CPU."""
    merge_linear_convolutions(graph)
    fill_blocks(graph)
    if in_stripes:
        work_in_stripes(graph)


def drop_empty_pads(graph: Graph) -> None:
    """Take out pads that add nothing: they break the blocked layout and cost a copy."""
    for node in list(graph.nodes):
        if node.op_type != "Pad":
            continue
        pads = graph.constants.get(node.input[1]) if len(node.input) > 1 else np.array(attribute(node, "pads", [1]))
        if pads is not None and not np.any(pads):
            graph.bypass(node)


def convolve_before_enlarging(graph: Graph) -> None:
    """Exchange an enlargement and the 1x1 convolution behind it, which then has a quarter of the pixels to do.

    `conv(concat(enlarge(small), skip))` becomes `enlarge(conv_a(small)) + conv_b(skip)`: a convolution of single
    pixels mixes channels, an enlargement mixes pixels, and neither minds which comes first.
    """
    shapes = graph.shapes()
    for node, joined in _convolutions_of_two(graph):
        place = next((at for at in (0, 1) if _enlarges(graph, graph.maker.get(joined.input[at]), shapes)), None)
        if place is None:
            continue
        enlarge, other = graph.maker[joined.input[place]], joined.input[1 - place]
        weight, channels = graph.constants[node.input[1]], shapes[joined.input[place]][1]
        first, second = np.split(weight, [channels if place == 0 else weight.shape[1] - channels], axis=1)
        for_small, for_other = (first, second) if place == 0 else (second, first)
        name = node.output[0]
        at_once = _conv(graph, f"{name}.small", enlarge.input[0], for_small, None)
        larger = _enlargement(graph, enlarge, at_once.output[0], f"{name}.enlarged", channels=len(weight))
        bias = graph.constants[node.input[2]] if len(node.input) > 2 else None
        aside = _conv(graph, f"{name}.other", other, for_other, bias)
        total = helper.make_node("Add", [aside.output[0], larger.output[0]], [name], name=name)
        graph.replace(node, [at_once, larger, aside, total])


def convolve_apart(graph: Graph, these: set[str]) -> None:
    """Take apart a 1x1 convolution of two joined tensors of which one is among `these`: each can be done by itself."""
    shapes = graph.shapes()
    for node, joined in _convolutions_of_two(graph):
        if sum(name in these for name in joined.input) != 1 or joined.input[0] not in shapes:  # it is a constant
            continue
        weight, name = graph.constants[node.input[1]], node.output[0]
        first, second = np.split(weight, [shapes[joined.input[0]][1]], axis=1)
        bias = graph.constants[node.input[2]] if len(node.input) > 2 else None
        parts = [
            _conv(graph, f"{name}.first", joined.input[0], first, bias),
            _conv(graph, f"{name}.second", joined.input[1], second, None),
        ]
        total = helper.make_node("Add", [part.output[0] for part in parts], [name], name=name)
        graph.replace(node, [*parts, total])


def merge_linear_convolutions(graph: Graph) -> None:
    """Make one 1x1 convolution of two in a row with nothing between them, where that is less arithmetic."""
    for node in reversed(list(graph.nodes)):  # of three in a row, the last two become one first
        if not is_pointwise(graph, node) or node.output[0] in graph.outputs:
            continue
        takers = graph.takers[node.output[0]]
        if not takers or not all(is_pointwise(graph, taker) for taker in takers):
            continue
        weight = graph.constants[node.input[1]][:, :, 0, 0].astype(np.float64)
        middle, inputs = weight.shape
        outputs = sum(len(graph.constants[taker.input[1]]) for taker in takers)
        if inputs * outputs >= inputs * middle + middle * outputs:
            continue
        bias = graph.constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(middle)
        for taker in takers:
            kind = graph.constants[taker.input[1]].dtype
            behind = graph.constants[taker.input[1]][:, :, 0, 0].astype(np.float64)
            own = graph.constants[taker.input[2]] if len(taker.input) > 2 else 0.0
            merged = _conv(
                graph,
                f"{taker.output[0]}.merged",
                node.input[0],
                (behind @ weight).astype(kind)[:, :, None, None],
                (behind @ bias + own).astype(kind),
                result=taker.output[0],
            )
            graph.replace(taker, [merged])
        graph.replace(node, [])


def fill_blocks(graph: Graph) -> None:
    """Give the inner channels of an inverted residual a number that fills blocks, with zeros for weights."""
    for expand, depthwise, project in _inverted_residuals(graph):
        channels = len(graph.constants[depthwise.input[1]])
        missing = -channels % BLOCK_CHANNELS
        if not missing or not is_pointwise(graph, expand):
            continue
        for node in (expand, depthwise):
            for place, name in enumerate(list(node.input[1:]), start=1):
                value = graph.constants[name]
                wider = np.pad(value, [(0, missing), *[(0, 0)] * (value.ndim - 1)])
                node.input[place] = graph.constant(f"{node.output[0]}.{place}.filled", wider)
        for item in depthwise.attribute:
            if item.name == "group":
                item.i = channels + missing
        value = graph.constants[project.input[1]]
        wider = np.pad(value, ((0, 0), (0, missing), (0, 0), (0, 0)))
        project.input[1] = graph.constant(f"{project.output[0]}.1.filled", wider)
    graph.index()


def work_in_stripes(graph: Graph) -> None:
    """Let a large inverted residual run in stripes of channels, each staying in the cache from layer to layer.

    Its three layers meet only in the last one's sum over channels. Whole, the 52 MB between the layers of the
    generator's last stage are written to the memory and read again three times.
    """
    shapes = graph.shapes()
    for expand, depthwise, project in _inverted_residuals(graph):
        channels = len(graph.constants[depthwise.input[1]])
        size = 4 * np.prod(shapes.get(depthwise.input[0], (0, 0))[1:])  # of one frame: batches shall not differ
        if size < OUT_OF_CACHE_BYTES or channels % STRIPE_CHANNELS or channels == STRIPE_CHANNELS:
            continue
        if not (is_pointwise(graph, expand) or _is_exchanged(graph, expand, shapes)):
            continue
        name, total, nodes = project.output[0], "", []
        for start in range(0, channels, STRIPE_CHANNELS):
            stripe, own = slice(start, start + STRIPE_CHANNELS), f"{name}.{start}"
            wide, expanded = _stripe_of(graph, expand, stripe, own)
            rectified = helper.make_node("Relu", [wide], [f"{own}.seen"])
            filtered = _some_outputs(graph, depthwise, stripe, f"{own}.filtered", rectified.output[0])
            again = helper.make_node("Relu", [filtered.output[0]], [f"{own}.again"])
            last = start + STRIPE_CHANNELS == channels
            first_bias = graph.constants[project.input[2]] if not start and len(project.input) > 2 else None
            weight = graph.constants[project.input[1]][:, stripe]
            narrow = _conv(graph, f"{own}.narrow", again.output[0], weight, first_bias)
            nodes += [*expanded, rectified, filtered, again, narrow]
            if total:
                nodes.append(
                    helper.make_node("Add", [narrow.output[0], total], [name if last else f"{own}.total"], name=own)
                )
            total = nodes[-1].output[0]
        graph.replace(project, nodes)


def _convolutions_of_two(graph: Graph) -> list[tuple[Any, Any]]:
    """1x1 convolutions of two joined tensors, each with the node that joins them."""
    pairs = ((node, graph.maker.get(node.input[0])) for node in graph.nodes if is_pointwise(graph, node))
    return [
        (node, joined)
        for node, joined in pairs
        if joined is not None
        and joined.op_type == "Concat"
        and attribute(joined, "axis", 0) == 1
        and len(joined.input) == 2
    ]


def _stripe_of(graph: Graph, expand: Any, stripe: slice, own: str) -> tuple[str, list[Any]]:
    """Some output channels of an expansion, with an enlargement in it or not: their tensor, and the nodes for it."""
    if expand.op_type == "Conv":
        conv = _some_outputs(graph, expand, stripe, f"{own}.wide")
        return conv.output[0], [conv]
    aside, larger = (graph.maker[name] for name in expand.input)
    small = _some_outputs(graph, graph.maker[larger.input[0]], stripe, f"{own}.small")
    enlarged = _enlargement(graph, larger, small.output[0], f"{own}.enlarged", channels=STRIPE_CHANNELS)
    other = _some_outputs(graph, aside, stripe, f"{own}.other")
    total = helper.make_node("Add", [other.output[0], enlarged.output[0]], [f"{own}.wide"], name=f"{own}.wide")
    return total.output[0], [small, enlarged, other, total]


def _some_outputs(graph: Graph, conv: Any, stripe: slice, name: str, source: str | None = None) -> Any:
    """A convolution for some of its output channels; a depthwise one then takes as many, from `source`."""
    weight = graph.constants[conv.input[1]][stripe]
    bias = graph.constants[conv.input[2]][stripe] if len(conv.input) > 2 else None
    like = conv if _is_depthwise(graph, conv) else None
    return _conv(graph, name, source or conv.input[0], weight, bias, like=like)


def _inverted_residuals(graph: Graph) -> list[tuple[Any, Any, Any]]:
    """Expansion, depthwise convolution and projection of every inverted residual whose inside nobody else sees.

    The expansion is of any kind: a 1x1 convolution, as a rule, or the sum that `convolve_before_enlarging` made of one.
    """
    found = []
    for project in [node for node in graph.nodes if is_pointwise(graph, node)]:
        depthwise = _behind_relu(graph, project)
        if depthwise is None or depthwise.op_type != "Conv" or not _is_depthwise(graph, depthwise):
            continue
        expand = _behind_relu(graph, depthwise)
        if expand is not None:
            found.append((expand, depthwise, project))
    return found


def _behind_relu(graph: Graph, node: Any) -> Any | None:
    """What makes a node's input, seen through a ReLU; None unless all of it is for this node alone."""
    relu = graph.maker.get(node.input[0])
    if relu is None or relu.op_type != "Relu" or graph.sole_taker(relu.output[0]) is not node:
        return None
    made = graph.maker.get(relu.input[0])
    return made if made is not None and graph.sole_taker(made.output[0]) is relu else None


def _is_exchanged(graph: Graph, node: Any, shapes: dict[str, Shape]) -> bool:
    """Whether a node is such a sum as `convolve_before_enlarging` makes, or as good as one."""
    if node.op_type != "Add":
        return False
    aside, larger = (graph.maker.get(name) for name in node.input)
    if larger is None or not _enlarges(graph, larger, shapes):
        return False
    convs = [conv for conv in (aside, graph.maker.get(larger.input[0])) if conv and is_pointwise(graph, conv)]
    return len(convs) == 2 and len({len(graph.constants[conv.input[1]]) for conv in convs}) == 1


def is_pointwise(graph: Graph, node: Any | None) -> bool:
    """Whether a node is a convolution of single pixels with constant weights."""
    if node is None or node.op_type != "Conv" or attribute(node, "group", 1) != 1:
        return False
    weight: npt.NDArray[Any] | None = graph.constants.get(node.input[1])
    plain = not any(attribute(node, "pads", [])) and set(attribute(node, "strides", [1])) == {1}
    constant = all(name in graph.constants for name in node.input[1:])
    return plain and constant and weight is not None and weight.shape[2:] == (1, 1)


def _is_depthwise(graph: Graph, node: Any) -> bool:
    weight = graph.constants.get(node.input[1])
    constant = all(name in graph.constants for name in node.input[1:])
    return constant and weight is not None and weight.shape[1] == 1 and attribute(node, "group", 1) == len(weight)


def _enlarges(graph: Graph, node: Any | None, shapes: dict[str, Shape]) -> bool:
    """Whether a node enlarges pictures by constant factors and does nothing else."""
    if (
        node is None
        or node.op_type != "Resize"
        or not all(not name or name in graph.constants for name in node.input[1:])
    ):
        return False
    if attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize":
        return False  # fills what lies outside with a constant, which a convolution would change
    before, after = shapes.get(node.input[0], ()), shapes.get(node.output[0], ())
    return len(before) == len(after) == 4 and before[:2] == after[:2] and bool(np.prod(before) < np.prod(after))


def _enlargement(graph: Graph, like: Any, source: str, result: str, channels: int) -> Any:
    """The same enlargement of another tensor; sizes, where it has them, name the channels too."""
    inputs = list(like.input)
    if len(inputs) > 3 and inputs[3]:
        sizes = graph.constants[inputs[3]].copy()
        sizes[[axis % 4 == 1 for axis in attribute(like, "axes", range(4))]] = channels
        inputs[3] = graph.constant(f"{result}.sizes", sizes)
    return copy_attributes(like, helper.make_node("Resize", [source, *inputs[1:]], [result], name=result))


def _conv(
    graph: Graph,
    name: str,
    source: str,
    weight: npt.NDArray[Any],
    bias: npt.NDArray[Any] | None,
    *,
    like: Any | None = None,
    result: str | None = None,
) -> Any:
    """A convolution with these weights: 1x1, or with another one's attributes for as many channels as it has."""
    inputs = [source, graph.constant(f"{name}.weight", weight)]
    if bias is not None:
        inputs.append(graph.constant(f"{name}.bias", bias))
    node = helper.make_node("Conv", inputs, [result or name], name=name)
    return node if like is None else copy_attributes(like, node, group=len(weight))
