"""Inverted residuals whose channels are filled up or taken in stripes: the same answers, wherever they stand."""

from typing import Any

import numpy as np
import pytest

from tests.onnx_graphs import Net, assert_left_alone, depthwise, operators, rewritten, small_and_skip, weights_of
from workers.avatar.networks import rewriting
from workers.avatar.networks.graph import Graph


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inner", [1, 12, 24, 33])
@pytest.mark.parametrize(
    "more",
    [{}, {"strides": [2, 2]}, {"kernel": 5, "dilations": [2, 2], "pads": [4] * 4}, {"kernel": 1}],
    ids=["3x3", "by steps of 2", "5x5 dilated", "1x1"],
)
def test_inner_channels_fill_blocks(more: dict[str, Any], inner: int, bias: bool) -> None:
    net = Net({"x": [1, 6, 9, 9]})
    result = net.inverted_residual("x", 6, inner, 5, bias=bias, **more)
    after = rewritten(rewriting.fill_blocks, net, result)
    filled = -(-inner // 16) * 16
    assert weights_of(after, depthwise) == [(filled, 1, *[more.get("kernel", 3)] * 2)]
    assert weights_of(after, lambda node, shape: not depthwise(node, shape)) == [(filled, 6, 1, 1), (5, filled, 1, 1)]


def test_a_projection_that_is_the_next_expansion_is_filled_on_both_sides() -> None:
    net = Net({"x": [1, 6, 9, 9]})
    tensor, channels = "x", 6
    for wider in (12, 20, 24):
        tensor = net.node("Relu", net.conv(tensor, channels, wider))
        tensor = net.node("Relu", net.conv(tensor, wider, wider, 3, groups=wider, bias=wider != 20))
        channels = wider
    after = rewritten(rewriting.fill_blocks, net, net.conv(tensor, channels, 5))
    assert weights_of(after, depthwise) == [(16, 1, 3, 3), (32, 1, 3, 3), (32, 1, 3, 3)]


def test_weights_that_two_residuals_share_are_filled_for_each() -> None:
    net = Net({"x": [1, 6, 9, 9]})
    weights = [net.floats(12, 6, 1, 1), net.floats(12, 1, 3, 3), net.floats(6, 12, 1, 1)]
    tensor = "x"
    for _ in range(2):
        wide = net.node("Relu", net.node("Conv", tensor, weights[0]))
        seen = net.node("Relu", net.node("Conv", wide, weights[1], group=12, pads=[1] * 4))
        tensor = net.node("Add", net.node("Conv", seen, weights[2]), tensor)
    assert weights_of(rewritten(rewriting.fill_blocks, net, tensor), depthwise) == [(16, 1, 3, 3)] * 2


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("negated", [True, False])
def test_residuals_whose_inside_others_see_are_not_filled(place: int, negated: bool) -> None:
    net = Net({"x": [1, 6, 9, 9]})
    inside = [net.conv("x", 6, 12)]
    inside.append(net.node("Relu", inside[-1]))
    inside.append(net.conv(inside[-1], 12, 12, 3, groups=12))
    inside.append(net.node("Relu", inside[-1]))
    seen = net.node("Neg", inside[place]) if negated else inside[place]
    assert_left_alone(rewriting.fill_blocks, net, net.conv(inside[-1], 12, 5), seen)


def test_what_is_no_such_residual_is_not_filled() -> None:
    net = Net({"x": [1, 6, 9, 9]})
    assert_left_alone(rewriting.fill_blocks, net, net.inverted_residual("x", 6, 32, 5))
    net = Net({"x": [1, 6, 9, 9]})
    both = net.node("Relu", net.node("Add", net.conv("x", 6, 12), net.conv("x", 6, 12)))
    filtered = net.node("Relu", net.conv(both, 12, 12, 3, groups=12))
    assert_left_alone(rewriting.fill_blocks, net, net.conv(filtered, 12, 5))
    net = Net({"x": [1, 6, 9, 9]})
    dense = net.node("Relu", net.conv(net.node("Relu", net.conv("x", 6, 12)), 12, 12, 3, groups=3))
    assert_left_alone(rewriting.fill_blocks, net, net.conv(dense, 12, 5))
    net = Net({"x": [1, 6, 9, 9]})
    several = net.node("Relu", net.conv(net.node("Relu", net.conv("x", 6, 12)), 12, 24, 3, groups=12))
    assert_left_alone(rewriting.fill_blocks, net, net.conv(several, 24, 5))


@pytest.fixture
def _little_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "OUT_OF_CACHE_BYTES", 1)


stripes = pytest.mark.usefixtures("_little_cache")


@stripes
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inner", [64, 96])
@pytest.mark.parametrize(
    "more",
    [{}, {"strides": [2, 2]}, {"kernel": 5, "dilations": [2, 2], "pads": [4] * 4}],
    ids=["3x3", "by steps of 2", "5x5 dilated"],
)
def test_a_large_residual_works_in_stripes(more: dict[str, Any], inner: int, bias: bool) -> None:
    net = Net({"x": [2, 6, 9, 9]})
    result = net.inverted_residual("x", 6, inner, 5, bias=bias, **more)
    after = rewritten(rewriting.work_in_stripes, net, result)
    count = inner // 32
    assert weights_of(after, depthwise) == [(32, 1, *[more.get("kernel", 3)] * 2)] * count
    assert operators(after) == {"Conv": 3 * count, "Relu": 2 * count, "Add": count - 1}


@stripes
@pytest.mark.parametrize("bias", [True, False])
def test_a_residual_behind_an_enlargement_works_in_stripes(bias: bool) -> None:
    net = small_and_skip()
    both = net.node("Concat", net.enlarged("small"), "skip", axis=1)

    def rewrite(graph: Graph) -> None:
        rewriting.convolve_before_enlarging(graph)
        rewriting.work_in_stripes(graph)

    after = rewritten(rewrite, net, net.inverted_residual(both, 10, 64, 5, bias=bias))
    assert operators(after) == {"Conv": 8, "Resize": 2, "Relu": 4, "Add": 3}


def sum_of_two(net: Net, *, of_small: int = 64, channel_scale: int = 1) -> str:
    """As a feature pyramid has it: both convolutions have a bias of their own."""
    scales = net.constant(np.array([1, channel_scale, 2, 2], np.float32))
    larger = net.node("Resize", net.conv("small", 6, of_small), "", scales, mode="nearest")
    wide = net.node("Relu", net.node("Add", net.conv("skip", 4, 64), larger))
    seen = net.node("Relu", net.conv(wide, 64, 64, 3, groups=64))
    return net.conv(seen, 64, 5)


@stripes
def test_a_network_with_such_a_sum_of_its_own_works_in_stripes_with_both_biases() -> None:
    net = small_and_skip()
    assert weights_of(rewritten(rewriting.work_in_stripes, net, sum_of_two(net)), depthwise) == [(32, 1, 3, 3)] * 2


@stripes
@pytest.mark.parametrize(("of_small", "channel_scale"), [(1, 1), (32, 2)])
def test_a_sum_of_other_shapes_is_left_alone(of_small: int, channel_scale: int) -> None:
    net = small_and_skip()
    result = sum_of_two(net, of_small=of_small, channel_scale=channel_scale)
    assert_left_alone(rewriting.work_in_stripes, net, result)


@stripes
def test_residuals_in_a_row_of_which_one_ends_where_the_next_begins_work_in_stripes() -> None:
    net = Net({"x": [1, 6, 9, 9]})
    tensor, channels = "x", 6
    for wider in (64, 96):
        tensor = net.node("Relu", net.conv(tensor, channels, wider))
        tensor = net.node("Relu", net.conv(tensor, wider, wider, 3, groups=wider))
        channels = wider
    rewritten(rewriting.work_in_stripes, net, net.conv(tensor, channels, 5))


@stripes
@pytest.mark.parametrize("inner", [16, 32, 48, 80])
def test_channels_that_make_no_stripes_are_left(inner: int) -> None:
    net = Net({"x": [1, 6, 9, 9]})
    assert_left_alone(rewriting.work_in_stripes, net, net.inverted_residual("x", 6, inner, 5))


@stripes
def test_a_residual_whose_inside_is_an_output_is_left() -> None:
    net = Net({"x": [1, 6, 9, 9]})
    wide = net.node("Relu", net.conv("x", 6, 64))
    seen = net.node("Relu", net.conv(wide, 64, 64, 3, groups=64))
    assert_left_alone(rewriting.work_in_stripes, net, net.conv(seen, 64, 5), seen)


@pytest.mark.parametrize(("rows", "striped"), [(249, False), (251, True)])
@pytest.mark.parametrize("batch", [1, 3])
def test_what_fits_into_the_cache_is_left_alike_for_every_batch(rows: int, striped: bool, batch: int) -> None:
    """64 channels of 250 x 250 are 16 MB. Were batches counted, frames would depend on them in their last bits."""
    net = Net({"x": [batch, 2, rows, 250]})
    graph = net.graph(net.inverted_residual("x", 2, 64, 2))
    rewriting.work_in_stripes(graph)
    assert (operators(graph.finished())["Conv"] == 6) == striped
