"""How long a job takes on a fleet, and how many workers a deadline needs."""

import math
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import Rejected
from jobs.estimate import LONGEST_S, Estimate, estimate, parse_duration, spell_duration
from jobs.plan import chunk_count, chunk_span

JOBS = st.builds(Estimate, st.integers(1, 5_000), st.integers(1, 300), st.sampled_from([1.0, 17.3, 177.6]))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10h", 36_000),
        ("90m", 5_400),
        ("1h30m", 5_400),
        ("1h30m15s", 5_415),
        ("45s", 45),
        ("3600", 3_600),
        ("1.5h", 5_400),
        ("0.5", 0.5),
        ("1h 30m", 5_400),
        ("2H", 7_200),
        ("1h90s", 3_690),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "h", "ten", "10x", "1h30", "30m1h", "-5s", "0", "0h0m", "1e3", "inf", "nan", "1:30:00", "9" * 400]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Rejected, match="is no duration"):
        parse_duration(text)


@given(seconds=st.floats(0.2, LONGEST_S))
def test_a_duration_is_spelled_as_it_can_be_read_and_never_too_short(seconds: float) -> None:
    read = parse_duration(spell_duration(min(seconds, LONGEST_S)))
    assert seconds - 1e-6 <= read <= seconds + 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5067.568, "1h24m28s"), (3600, "1h"), (3599.2, "1h"), (59.94, "60s"), (12.5, "12.5s"), (0.01, "0.1s")],
)
def test_a_duration_is_spelled_short(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text


def test_ten_hours_take_one_worker_of_177_6_frames_a_second_1_4_hours() -> None:
    job = estimate(parse_duration("10h"), 250, 177.6)
    assert (job.frames, job.chunks) == (900_000, 3_600)
    assert round(job.alone_s / 3600, 1) == 1.4
    assert job.finish_s(1) == job.alone_s
    assert job.workers_for(3600) == 2


@pytest.mark.parametrize(
    ("frames", "workers", "rounds_s"),
    [
        (1_000, 4, 10),  # four whole chunks, one round
        (1_000, 3, 20),  # the fourth is a round of its own
        (1_000, 400, 10),  # more workers than chunks help nobody
        (1_010, 4, 10.4),  # only the short one is left
        (1_010, 3, 20),  # a whole one beside it takes longer
        (100, 7, 4),  # one short chunk is all there is
    ],
)
def test_the_last_round_lasts_as_long_as_what_is_left(frames: int, workers: int, rounds_s: float) -> None:
    assert Estimate(frames, 250, 25.0).finish_s(workers) == pytest.approx(rounds_s)


@given(job=JOBS, workers=st.integers(1, 60))
def test_the_end_is_when_workers_that_take_one_chunk_after_the_other_are_done(job: Estimate, workers: int) -> None:
    free_s = [0.0] * workers
    for chunk in range(chunk_count(job.frames, job.chunk_frames)):
        frames = chunk_span(chunk, job.frames, job.chunk_frames).size
        heappush(free_s, heappop(free_s) + frames / job.worker_fps)
    assert job.finish_s(workers) == pytest.approx(max(free_s))


@given(job=JOBS, workers=st.integers(1, 60), per_hour=st.floats(0.01, 100))
def test_all_workers_are_paid_for_until_the_last_is_done(job: Estimate, workers: int, per_hour: float) -> None:
    at_least_h = job.alone_s / 3600
    assert job.billed_h(1) == pytest.approx(at_least_h)
    assert job.billed_h(workers) >= at_least_h - 1e-9
    assert job.billed_h(workers) <= at_least_h + workers * job.chunk_s / 3600 + 1e-9
    video_h = job.frames / 25 / 3600
    assert job.cost_per_video_h(workers, per_hour) * video_h == pytest.approx(job.billed_h(workers) * per_hour)


@given(job=JOBS, slack=st.floats(1.0, 300.0))
def test_the_fleet_for_a_deadline_is_the_smallest_that_meets_it(job: Estimate, slack: float) -> None:
    deadline_s = job.finish_s(job.chunks) * slack
    workers = job.workers_for(deadline_s)
    assert job.finish_s(workers) <= deadline_s
    assert workers == 1 or job.finish_s(workers - 1) > deadline_s


def test_a_deadline_that_no_fleet_meets_is_refused_with_the_time_of_one_chunk() -> None:
    with pytest.raises(Rejected, match=r"No fleet is done in 9\.9s: a single chunk takes one worker 10s"):
        Estimate(1_000, 250, 25.0).workers_for(9.9)


@pytest.mark.parametrize("worker_fps", [0.0, -1.0, math.nan, math.inf, 5e-324])
def test_a_rate_that_is_none_is_refused(worker_fps: float) -> None:
    with pytest.raises(Rejected, match="frames/s"):
        estimate(60, 250, worker_fps)


def test_a_video_too_short_to_be_one_is_refused() -> None:
    with pytest.raises(Rejected, match="too short"):
        estimate(0.1, 250, 25.0)
