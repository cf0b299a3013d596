"""What is read out of the trace of a simulated fleet, and that its draws are the same every time."""

import math
import statistics

import pytest

from jobs.ledger import FAILURE_WEIGHT, HANDED_BACK_WEIGHT
from workers.bench.scenario import Arrival, Scenario
from workers.bench.trace import JobTrace, Trace, span_of_all_chunks, span_of_full_load, utilisation, waits_s

# Two workers; a job of three chunks at 10 s, one of one chunk at 13 s, when the first is all but done.
TRACE = Trace(
    jobs={"long": JobTrace(0, 3, 10.0, 10.5), "short": JobTrace(1, 1, 13.0, 14.0)},
    work=[(10.5, 12.0), (11.0, 14.0), (12.0, 16.0), (14.0, 18.0)],
    finished_s=[12.0, 14.0, 16.0, 18.0],
)


def test_there_is_work_for_all_while_there_are_as_many_unfinished_chunks_as_workers() -> None:
    assert span_of_full_load(TRACE, 2) == (10.0, 16.0)
    assert span_of_full_load(TRACE, 3) == (10.0, 14.0)  # three until 12 s, and again from 13 s on
    assert span_of_all_chunks(TRACE) == (10.0, 18.0)
    with pytest.raises(ValueError, match="4 workers"):
        span_of_full_load(TRACE, 4)


def test_busy_is_who_holds_a_part_and_who_is_away_does_not_count() -> None:
    assert utilisation(TRACE, 2, (10.0, 16.0)) == (1.5 + 3.0 + 4.0 + 2.0) / 12
    away = Trace(work=[(0.0, 4.0)], away=[(2.0, 9.0)])
    assert utilisation(away, 2, (0.0, 4.0)) == 4 / 6


def test_a_wait_ends_with_the_first_chunk() -> None:
    assert waits_s(TRACE, 1) == [1.0]
    assert waits_s(TRACE, 3) == [0.5]
    assert waits_s(Trace(jobs={"new": JobTrace(0, 1, 5.0)}), 1) == [math.inf]


def test_equal_scenarios_have_equal_fates_whatever_the_order() -> None:
    first, second = (Scenario(3, 4.0, (Arrival(0, 2_000),)) for _ in range(2))
    fates = [first.fate(0, chunk) for chunk in range(2_000)]
    assert fates == [second.fate(0, chunk) for chunk in reversed(range(2_000))][::-1]
    assert fates != [Scenario(3, 4.0, (), seed=1).fate(0, chunk) for chunk in range(2_000)]
    assert statistics.fmean(fate.takes_s for fate in fates) == pytest.approx(4.0, rel=0.02)
    troubles = [fate.trouble for fate in fates]
    assert 10 <= troubles.count(FAILURE_WEIGHT) <= 35 and 3 <= troubles.count(HANDED_BACK_WEIGHT) <= 20
