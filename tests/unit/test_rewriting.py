"""Rewritings of a generator: the same answers from another graph, and no change where their pattern is not."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.onnx_graphs import Net, assert_left_alone, depthwise, operators, rewritten, small_and_skip, weights_of
from workers.avatar.networks import rewriting
from workers.avatar.networks.graph import Graph


def everything(graph: Graph, *, in_stripes: bool) -> None:
    """What happens to a generator before and after it is cut."""
    rewriting.drop_empty_pads(graph)
    rewriting.convolve_before_enlarging(graph)
    rewriting.rewrite(graph, in_stripes=in_stripes)


def padded(pads: list[int], opset: int = 17, **more: Any) -> tuple[Net, str]:
    net = Net({"x": [1, 4, 6, 6]}, opset)
    tensor = net.node("Relu", "x")
    if opset < 11:
        tensor = net.node("Pad", tensor, pads=pads)
    else:
        axes = ["", net.constant(np.array([2, 3], np.int64))] if opset >= 18 and len(pads) == 4 else []
        tensor = net.node("Pad", tensor, net.constant(np.array(pads, np.int64)), *axes, **more)
    return net, net.conv(tensor, 4, 4, 3)


@pytest.mark.parametrize(
    ("pads", "opset", "more"),
    [
        ([0] * 8, 17, {}),
        ([0] * 8, 17, {"mode": "reflect"}),
        ([0] * 8, 9, {}),
        ([0] * 4, 18, {}),
    ],
    ids=["zeros", "reflecting", "as an attribute", "of some axes"],
)
def test_a_pad_that_adds_nothing_is_dropped(pads: list[int], opset: int, more: dict[str, Any]) -> None:
    net, result = padded(pads, opset, **more)
    assert operators(rewritten(rewriting.drop_empty_pads, net, result)) == {"Relu": 1, "Conv": 1}


@pytest.mark.parametrize(("pads", "opset"), [([0, 0, 1, 0, 0, 0, 0, 1], 17), ([0, 0, 1, 0, 0, 0, 0, 1], 9)])
def test_a_pad_that_adds_something_stays(pads: list[int], opset: int) -> None:
    assert_left_alone(rewriting.drop_empty_pads, *padded(pads, opset))


def test_the_takers_of_an_empty_pad_take_what_it_took() -> None:
    net = Net({"x": [1, 4, 6, 6]})
    first = net.node("Pad", "x", net.constant(np.zeros(8, np.int64)))
    second = net.node("Pad", first, net.constant(np.zeros(8, np.int64)))
    both = net.node("Mul", second, second)
    result = rewritten(rewriting.drop_empty_pads, net, net.node("Add", both, first))
    assert operators(result) == {"Mul": 1, "Add": 1}


def test_an_empty_pad_that_is_an_output_stays() -> None:
    net = Net({"x": [1, 4, 6, 6]})
    assert_left_alone(rewriting.drop_empty_pads, net, net.node("Pad", "x", net.constant(np.zeros(8, np.int64))))


def test_a_pad_that_is_only_known_at_run_time_stays() -> None:
    net = Net({"x": [1, 4, 6, 6]})
    nothing = net.node("Cast", net.node("Floor", net.floats(8), result="some"), to=TensorProto.INT64)
    result = net.node("Pad", "x", net.node("Abs", nothing))
    graph = Graph(net.model(result))
    rewriting.drop_empty_pads(graph)
    assert operators(graph.finished())["Pad"] == 1


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
def test_two_convolutions_in_a_row_become_one(biases: tuple[bool, bool]) -> None:
    net = Net({"x": [1, 6, 8, 8]})
    result = net.conv(net.conv("x", 6, 24, bias=biases[0]), 24, 5, bias=biases[1])
    after = rewritten(rewriting.merge_linear_convolutions, net, result)
    assert weights_of(after, lambda *_: True) == [(5, 6, 1, 1)]


@pytest.mark.parametrize("length", [3, 4, 6])
def test_a_row_of_convolutions_becomes_one(length: int) -> None:
    net, tensor = Net({"x": [1, 8, 8, 8]}), "x"
    for _ in range(length):
        tensor = net.conv(tensor, 8, 8)
    assert operators(rewritten(rewriting.merge_linear_convolutions, net, tensor, rtol=1e-4)) == {"Conv": 1}


def test_two_takers_get_a_convolution_each() -> None:
    net = Net({"x": [1, 6, 8, 8]})
    wide = net.conv("x", 6, 24)
    after = rewritten(
        rewriting.merge_linear_convolutions, net, net.conv(wide, 24, 5), net.conv(wide, 24, 4, bias=False)
    )
    assert sorted(weights_of(after, lambda *_: True)) == [(4, 6, 1, 1), (5, 6, 1, 1)]


def test_merging_that_would_be_more_arithmetic_is_left() -> None:
    net = Net({"x": [1, 32, 8, 8]})
    assert_left_alone(rewriting.merge_linear_convolutions, net, net.conv(net.conv("x", 32, 4), 4, 32))
    net = Net({"x": [1, 8, 8, 8]})
    middle = net.conv("x", 8, 4)
    assert_left_alone(rewriting.merge_linear_convolutions, net, net.conv(middle, 4, 8), net.conv(middle, 4, 8))


def test_convolutions_with_something_between_or_beside_them_are_left() -> None:
    net = Net({"x": [1, 6, 8, 8]})
    wide = net.conv("x", 6, 24)
    beside = net.node("Relu", wide)
    assert_left_alone(rewriting.merge_linear_convolutions, net, net.conv(wide, 24, 5), net.conv(beside, 24, 5))
    net = Net({"x": [1, 6, 8, 8]})
    wide = net.conv("x", 6, 24)
    assert_left_alone(rewriting.merge_linear_convolutions, net, wide, net.conv(wide, 24, 5))
    net = Net({"x": [1, 6, 8, 8]})
    assert_left_alone(rewriting.merge_linear_convolutions, net, net.conv(net.conv("x", 6, 24), 24, 5, 3))


def test_weights_stay_of_the_type_that_they_are_of() -> None:
    net = Net({"x": [1, 6, 8, 8]}, kind=TensorProto.FLOAT16)
    result = net.conv(net.conv("x", 6, 24), 24, 5)
    after = rewritten(rewriting.merge_linear_convolutions, net, result, rtol=5e-3)
    assert {weight.data_type for weight in after.graph.initializer} == {TensorProto.FLOAT16}


@pytest.fixture
def _little_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "OUT_OF_CACHE_BYTES", 1)


stripes = pytest.mark.usefixtures("_little_cache")


@stripes
@pytest.mark.parametrize("in_stripes", [True, False])
def test_a_generator_in_the_small_is_rewritten_throughout(in_stripes: bool) -> None:
    net = small_and_skip()
    skip = net.node("Pad", net.inverted_residual("skip", 4, 8, 4), net.constant(np.zeros(8, np.int64)))
    small = net.conv(net.inverted_residual("small", 6, 12, 12), 12, 6)
    both = net.node("Concat", net.enlarged(small), skip, axis=1)
    wide = net.inverted_residual(both, 10, 64, 8)
    result = net.node("Sigmoid", net.conv(net.node("Add", net.inverted_residual(wide, 8, 24, 8), wide), 8, 3))
    after = rewritten(partial(everything, in_stripes=in_stripes), net, result, rtol=1e-4)
    assert not {"Pad", "Concat"} & operators(after).keys()
    inner = [channels for channels, *_ in weights_of(after, depthwise)]
    assert inner.count(32) == 1 + 2 * in_stripes
    assert [channels for channels in inner if channels % 16] == []


@stripes
@pytest.mark.parametrize("seed", range(40))
def test_networks_of_any_wiring_keep_their_answers(seed: int) -> None:
    chance = np.random.default_rng(seed)
    net = Net({"x": [2, 4, 6, 6], "y": [2, 6, 12, 12]}, chance=np.random.default_rng(seed))
    tensors = [("x", 4, 6), ("y", 6, 12)]
    for _ in range(chance.integers(6, 22)):
        tensor, channels, side = tensors[-1 if chance.random() < 0.5 else chance.integers(len(tensors))]
        kind = chance.integers(8)
        if kind == 0:
            wider = int(chance.choice([3, 8, 12, 32, 64]))
            tensors.append((net.conv(tensor, channels, wider, bias=bool(chance.integers(2))), wider, side))
        elif kind == 1:
            tensors.append((net.node("Relu", tensor), channels, side))
        elif kind == 2 and channels > 1:
            tensors.append((net.conv(tensor, channels, channels, 3, groups=channels), channels, side))
        elif kind == 3 and side <= 12:
            tensors.append((net.enlarged(tensor, mode=str(chance.choice(["nearest", "linear"]))), channels, 2 * side))
        elif kind == 4:
            fitting = [(name, more) for name, more, size in tensors if size == side]
            other, more = fitting[chance.integers(len(fitting))]
            tensors.append((net.node("Concat", tensor, other, axis=1), channels + more, side))
        elif kind == 5:
            fitting = [(name, more) for name, more, size in tensors if size == side and more in {1, channels}]
            other, _ = fitting[chance.integers(len(fitting))]
            scaled = net.node("Mul", other, net.constant(np.array(0.5, np.float32)))
            tensors.append((net.node("Add", tensor, scaled), channels, side))
        elif kind == 6:
            inner = int(chance.choice([12, 16, 32, 64]))
            tensors.append((net.inverted_residual(tensor, channels, inner, 6), 6, side))
        else:
            tensors.append((net.node("Pad", tensor, net.constant(np.zeros(8, np.int64))), channels, side))
    outputs = dict.fromkeys(tensors[-1 - index][0] for index in range(chance.integers(1, 3)))
    rewritten(partial(everything, in_stripes=bool(seed % 2)), net, *outputs, rtol=1e-3)
