"""The states of a job and the moves between them, as a table."""

import pytest

from jobs.states import ENDED, LEGAL_MOVES, OFFERING, JobState, PartState, may_move, states_before

TABLE = """
from \\ to   queued running paused assembling done failed cancelled
queued        -      x      x        x        -    x        x
running       -      -      x        x        -    x        x
paused        x      -      -        -        -    -        x
assembling    -      -      -        -        x    x        x
done          -      -      -        -        -    -        -
failed        x      -      -        x        -    -        x
cancelled     -      -      -        -        -    -        -
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
MOVES = [(row[0], target, mark == "x") for row in ROWS for target, mark in zip(HEAD[3:], row[1:], strict=True)]


def test_the_table_names_every_state() -> None:
    assert {row[0] for row in ROWS} == set(HEAD[3:]) == {str(state) for state in JobState}
    assert len(MOVES) == len(JobState) ** 2
    assert set(LEGAL_MOVES) == set(JobState)


@pytest.mark.parametrize(("state", "target", "legal"), MOVES)
def test_only_moves_of_the_table_are_legal(state: str, target: str, legal: bool) -> None:
    assert may_move(JobState(state), JobState(target)) is legal
    assert (JobState(state) in states_before(JobState(target))) is legal


def test_what_is_done_or_cancelled_stays_so() -> None:
    assert [state for state in JobState if not LEGAL_MOVES[state]] == [JobState.DONE, JobState.CANCELLED]


def test_every_state_can_be_reached_and_every_job_can_end() -> None:
    reached, fresh = {JobState.QUEUED}, {JobState.QUEUED}
    while fresh:
        fresh = {target for state in fresh for target in LEGAL_MOVES[state]} - reached
        reached |= fresh
    assert reached == set(JobState)
    assert all(may_move(state, JobState.CANCELLED) for state in set(JobState) - {JobState.DONE, JobState.CANCELLED})


def test_a_state_either_offers_parts_or_rests() -> None:
    assert {str(state) for state in ENDED} == {"done", "failed", "cancelled"}
    assert {str(state) for state in OFFERING} == {"queued", "running", "assembling"}
    assert set(JobState) - ENDED - OFFERING == {JobState.PAUSED}


def test_states_of_parts_are_the_pinned_ones() -> None:
    assert {str(state) for state in PartState} == {"pending", "offered", "claimed", "done", "quarantined"}
