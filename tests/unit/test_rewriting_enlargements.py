"""The 1x1 convolution behind an enlargement comes before it, and the answers stay the same."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest

from tests.onnx_graphs import Net, assert_left_alone, operators, rewritten, small_and_skip, weights_of
from workers.avatar.networks import rewriting


def joined(
    net: Net,
    *,
    enlarged_first: bool = True,
    bias: bool = True,
    small: str = "small",
    enlarge: Callable[[str], str] | None = None,
) -> str:
    """`conv(concat(enlarge(small), skip))` of 6 and 4 channels at 5x5 and 10x10."""
    larger = (enlarge or net.enlarged)(small)
    both = (larger, "skip") if enlarged_first else ("skip", larger)
    return net.conv(net.node("Concat", *both, axis=1), 10, 7, bias=bias)


def assert_exchanged(after: onnx.ModelProto, times: int = 1) -> None:
    """The concatenations are gone, and each enlargement has a convolution before it."""
    makers = {node.output[0]: node for node in after.graph.node}
    assert operators(after) == {"Conv": 2 * times, "Resize": times, "Add": times}
    assert all(makers[node.input[0]].op_type == "Conv" for node in after.graph.node if node.op_type == "Resize")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("enlarged_first", [True, False])
@pytest.mark.parametrize(
    "how",
    [
        {"mode": "nearest"},
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "linear"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        {"mode": "cubic"},
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
    ],
    ids=lambda how: "-".join(str(value) for value in how.values()),
)
def test_the_convolution_comes_before_the_enlargement(how: dict[str, Any], enlarged_first: bool, bias: bool) -> None:
    net = small_and_skip()
    result = joined(net, enlarged_first=enlarged_first, bias=bias, enlarge=lambda name: net.enlarged(name, **how))
    after = rewritten(rewriting.convolve_before_enlarging, net, result)
    assert_exchanged(after)
    at_once = weights_of(after, lambda node, shape: node.input[0] == "small")
    assert at_once == [(7, 6, 1, 1)], "only the pixels of the small picture are convolved"


@pytest.mark.parametrize("enlarged_first", [True, False])
@pytest.mark.parametrize("opset", [17, 18])
def test_an_enlargement_to_given_sizes_is_exchanged(opset: int, enlarged_first: bool) -> None:
    net = small_and_skip(opset)
    of_axes: dict[str, Any] = {"axes": [2, 3]} if opset == 18 else {}
    sizes = net.constant(np.array([10, 10] if of_axes else [1, 6, 10, 10], np.int64))

    def enlarge(name: str) -> str:
        return net.node("Resize", name, "", "", sizes, mode="linear", **of_axes)

    result = joined(net, enlarged_first=enlarged_first, enlarge=enlarge)
    assert_exchanged(rewritten(rewriting.convolve_before_enlarging, net, result))


def test_an_enlargement_by_an_older_operator_set_is_exchanged() -> None:
    net = small_and_skip(10)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    result = joined(net, enlarge=lambda name: net.node("Resize", name, scales, mode="nearest"))
    assert_exchanged(rewritten(rewriting.convolve_before_enlarging, net, result))


def test_of_two_enlargements_one_is_exchanged() -> None:
    net = Net({"small": [1, 6, 5, 5], "other": [1, 4, 5, 5]})
    both = net.node("Concat", net.enlarged("small"), net.enlarged("other", mode="nearest"), axis=1)
    after = rewritten(rewriting.convolve_before_enlarging, net, net.conv(both, 10, 7))
    assert operators(after) == {"Conv": 2, "Resize": 2, "Add": 1}


def test_an_enlargement_that_is_joined_with_itself_is_exchanged() -> None:
    net = Net({"small": [1, 6, 5, 5]})
    larger = net.enlarged("small")
    rewritten(rewriting.convolve_before_enlarging, net, net.conv(net.node("Concat", larger, larger, axis=1), 12, 7))


def test_what_others_take_stays_for_them() -> None:
    net = small_and_skip()
    larger = net.enlarged("small")
    both = net.node("Concat", larger, "skip", axis=1)
    first, second = net.conv(both, 10, 7), net.conv(both, 10, 3)
    residual = net.node("Add", net.conv(both, 10, 10), both)
    after = rewritten(rewriting.convolve_before_enlarging, net, first, second, residual, larger)
    assert operators(after)["Concat"] == 1
    assert operators(after)["Resize"] == 4


def test_a_concatenation_that_is_an_output_stays() -> None:
    net = small_and_skip()
    both = net.node("Concat", net.enlarged("small"), "skip", axis=1)
    after = rewritten(rewriting.convolve_before_enlarging, net, both, net.conv(both, 10, 7))
    assert operators(after) == {"Conv": 2, "Resize": 2, "Add": 1, "Concat": 1}


def test_several_stages_are_exchanged_one_after_the_other() -> None:
    net = Net({"small": [1, 6, 5, 5], "skip": [1, 4, 10, 10], "last": [1, 2, 20, 20]})
    result = net.conv(net.node("Concat", net.enlarged(joined(net)), "last", axis=1), 9, 5)
    assert_exchanged(rewritten(rewriting.convolve_before_enlarging, net, result), times=2)


def by_rows(net: Net) -> str:
    larger = net.enlarged("small")
    return net.conv(net.node("Concat", larger, larger, axis=2), 6, 3)


def of_three(net: Net) -> str:
    return net.conv(net.node("Concat", net.enlarged("small"), "skip", "skip", axis=1), 14, 3)


def of_pixels_and_neighbours(net: Net) -> str:
    return net.conv(net.node("Concat", net.enlarged("small"), "skip", axis=1), 10, 3, 3)


def by_steps(net: Net) -> str:
    return net.conv(net.node("Concat", net.enlarged("small"), "skip", axis=1), 10, 3, strides=[2, 2])


def in_groups(net: Net) -> str:
    return net.conv(net.node("Concat", net.enlarged("small"), "skip", axis=1), 10, 4, groups=2)


def made_smaller(net: Net) -> str:
    smaller = net.node("Resize", "skip", "", net.constant(np.array([1, 1, 0.5, 0.5], np.float32)), mode="linear")
    return net.conv(net.node("Concat", "small", smaller, axis=1), 10, 3)


def of_more_channels(net: Net) -> str:
    scales = net.constant(np.array([1, 2, 2, 2], np.float32))
    return net.conv(net.node("Concat", net.node("Resize", "small", "", scales, mode="nearest"), "skip", axis=1), 16, 3)


def filled_outside(net: Net) -> str:
    region = net.constant(np.array([0, 0, -0.3, -0.3, 1, 1, 0.7, 0.7], np.float32))
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    how: dict[str, Any] = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0}
    cropped = net.node("Resize", "small", region, scales, mode="linear", **how)
    return net.conv(net.node("Concat", cropped, "skip", axis=1), 10, 3)


def by_weights_of_the_moment(net: Net) -> str:
    both = net.node("Concat", net.enlarged("small"), "skip", axis=1)
    weights = net.node("Sigmoid", net.floats(3, 10, 1, 1))
    return net.node("Conv", both, weights)


@pytest.mark.parametrize(
    "make",
    [
        by_rows,
        of_three,
        of_pixels_and_neighbours,
        by_steps,
        in_groups,
        made_smaller,
        of_more_channels,
        filled_outside,
        by_weights_of_the_moment,
    ],
    ids=lambda make: make.__name__,
)
def test_another_pattern_is_not_exchanged(make: Callable[[Net], str]) -> None:
    net = small_and_skip()
    assert_left_alone(rewriting.convolve_before_enlarging, net, make(net))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("place", [0, 1])
def test_a_convolution_of_two_joined_tensors_is_taken_apart_where_one_is_known_earlier(place: int, bias: bool) -> None:
    net = small_and_skip()
    both = (net.enlarged("small"), "skip")
    result = net.conv(net.node("Concat", *both, axis=1), 10, 7, bias=bias)
    after = rewritten(lambda graph: rewriting.convolve_apart(graph, {both[place]}), net, result)
    assert operators(after) == {"Conv": 2, "Resize": 1, "Add": 1}
    assert sorted(weights_of(after, lambda *_: True)) == [(7, 4, 1, 1), (7, 6, 1, 1)]


def test_a_convolution_of_a_constant_and_something_stays_whole() -> None:
    net = small_and_skip()
    shape = (1, 4, 10, 10)
    result = net.conv(net.node("Concat", net.floats(*shape), net.enlarged("small"), axis=1), 10, 7)
    assert_left_alone(partial(rewriting.convolve_apart, these={net.nodes[0].output[0]}), net, result)


def test_a_convolution_stays_whole_where_both_of_what_is_joined_are_known_alike() -> None:
    net = small_and_skip()
    both = (net.enlarged("small"), "skip")
    result = net.conv(net.node("Concat", *both, axis=1), 10, 7)
    neither: set[str] = set()
    for known in (neither, set(both)):
        assert_left_alone(partial(rewriting.convolve_apart, these=known), net, result)
