"""Which template frame comes when."""

import pytest

from tests.unit import naive
from workers.render.template import template_index


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 251])
def test_the_template_is_walked_forward_and_back(count: int) -> None:
    assert [template_index(frame, count) for frame in range(1100)] == naive.walk(count, 1100)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0, 0, 0, 0]), (2, [1, 0, 1, 0]), (3, [1, 2, 1, 0, 1, 2]), (4, [1, 2, 3, 2, 1, 0, 1, 2, 3])],
)
def test_short_walks_worked_out_by_hand(count: int, expected: list[int]) -> None:
    assert [template_index(frame, count) for frame in range(len(expected))] == expected


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_the_first_output_frame_shows_the_second_template_frame(count: int) -> None:
    assert template_index(0, count) == 1


@pytest.mark.parametrize("count", [2, 3, 7])
def test_after_hours_the_walk_is_still_in_step(count: int) -> None:
    period = 2 * (count - 1)
    hours = period * 10**6
    expected = naive.walk(count, period)
    assert [template_index(hours + frame, count) for frame in range(period)] == expected
