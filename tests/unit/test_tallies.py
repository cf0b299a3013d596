"""How counts are kept: fields, buckets, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import tallies


def add_up(*many: dict[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in many:
        for name, number in one.items():
            found[name] = found.get(name, 0) + number
    return found


@given(st.lists(st.floats(0, 1e4)))
def test_a_distribution_is_what_was_observed(values: list[float]) -> None:
    counted = add_up(*(tallies.observation(tallies.STAGE_S, value, "paste") for value in values))
    found = tallies.distributions(tallies.STAGE_S, counted)
    if not values:
        assert found == {}
        return
    ((labels, (buckets, total)),) = found.items()
    assert labels == ("paste",) and total == pytest.approx(sum(values))
    assert buckets == [(bound, sum(value <= float(bound) for value in values)) for bound, _ in buckets]
    assert buckets[-1] == ("+Inf", len(values))


def test_counters_are_told_apart_by_name_and_labels() -> None:
    counted = {"parts_ended|lost": 2.0, "parts_ended|again": 1.0, "parts_endless|x": 9.0, "attempts": 3.0}
    assert tallies.counter_values(tallies.PARTS_ENDED, counted) == {("lost",): 2.0, ("again",): 1.0}
    assert tallies.counter_values(tallies.ATTEMPTS, counted) == {(): 3.0}


def test_a_label_cannot_pretend_to_be_two() -> None:
    assert tallies.field(tallies.STORE_ERRORS, "a|b@c") == "store_errors|a_b@c"
