"""What a live fleet has queued, as `lipsync plan` counts it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import Rejected
from jobs.estimate import Estimate, estimate
from jobs.estimate_backlog import Backlog, backlog_of, estimate_with
from jobs.fleet_state import LeftOut
from tests.unit.test_scaling import FPS, fleet

BACKLOGS = st.builds(Backlog, st.integers(1, 500_000), st.integers(1, 1_500), st.integers(0, 50), st.floats(1, 500))


def test_a_backlog_is_read_off_the_fleet() -> None:
    assert backlog_of(fleet(0, 1_000, workers=3)) == Backlog(1_000, 250, 3, FPS)
    assert backlog_of(fleet(0, 0)) == Backlog(0, 0, 0, None)


def test_jobs_that_are_not_shown_count_with_chunks_of_the_usual_size() -> None:
    crowded = replace(fleet(0, 0), left_out=LeftOut(jobs=3, waiting_parts=9, frames_left=2_000))
    assert backlog_of(crowded) == Backlog(2_000, 250, 0, None)


@given(backlog=BACKLOGS, seconds=st.floats(1, 36_000), slack=st.floats(1, 50))
def test_a_job_on_top_of_a_backlog_never_needs_fewer_workers(backlog: Backlog, seconds: float, slack: float) -> None:
    job = estimate(seconds, backlog.chunk_frames, 1.0)
    alone = Estimate(job.frames, job.chunk_frames, backlog.worker_fps or 0)
    both = estimate_with(backlog, job, job.chunk_frames, None)
    assert both.frames == backlog.frames + job.frames
    deadline_s = both.chunk_s * slack
    assert both.workers_for(deadline_s) >= alone.workers_for(deadline_s)


@given(backlog=BACKLOGS)
def test_without_a_job_the_backlog_is_all_there_is(backlog: Backlog) -> None:
    assert estimate_with(backlog, None, 250, None) == Estimate(
        backlog.frames, backlog.chunk_frames, backlog.worker_fps or 0
    )
    assert estimate_with(backlog, None, 250, 7.0).worker_fps == 7.0


def test_a_fleet_that_never_rendered_has_no_rate() -> None:
    with pytest.raises(Rejected, match="--fps-per-worker"):
        estimate_with(Backlog(10, 10, 1, None), None, 250, None)


def test_nothing_queued_and_nothing_to_come_cannot_be_planned() -> None:
    with pytest.raises(Rejected, match="--duration"):
        estimate_with(Backlog(0, 0, 1, 25.0), None, 250, None)


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e9])
def test_a_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(Rejected, match="frames/s"):
        estimate_with(Backlog(10, 10, 1, 25.0), None, 250, fps)
