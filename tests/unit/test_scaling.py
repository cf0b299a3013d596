"""How many workers a fleet should have: at once more, after a while fewer, and calm in between."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Settings
from jobs.fleet_state import FleetView, JobLoad, LeftOut, WorkerFacts, WorkerView
from jobs.ledger import JobView
from jobs.scaling import TOLERANCE, ScaleHint, busy_workers, workers_needed
from jobs.states import JobState

TARGET_S = 100.0
HOLD_S = 300.0
FPS = 25.0
CHUNK = 250


def worker(index: int, *, busy: bool = False, fps: float | None = FPS, drained: bool = False) -> WorkerView:
    name = f"w{index}@host{index}"
    facts = WorkerFacts(name, f"host{index}", pace_fps=fps)
    return WorkerView(facts, 0.0, True, drained, "job" if busy else None, str(index) if busy else None)


def job(frames: int, in_flight: int = 0, state: JobState = JobState.RUNNING) -> JobLoad:
    parts = -(-frames // CHUNK) + 2
    view = JobView("job", state, parts - 2, 0, 0, frames, 0, "a", "o", 0.0, 0.0, 0.0, 0.0, None, None)
    return JobLoad(view, max(parts - in_flight, 0), in_flight, 0.0)


def fleet(now_s: float, frames: int, workers: int = 0, busy: int = 0, fps: float | None = FPS) -> FleetView:
    """A fleet with one job of so many frames, or none."""
    known = tuple(worker(index, busy=index < busy, fps=fps) for index in range(workers))
    jobs = (job(frames, busy),) if frames else ()
    return FleetView(now_s, known, frozenset(), jobs, LeftOut(), {}, 0)


def hint(minimum: int = 0, maximum: int = 1_000) -> ScaleHint:
    return ScaleHint(TARGET_S, minimum, maximum, HOLD_S)


def frames_for(workers: int) -> int:
    """A backlog that takes so many workers exactly the target."""
    return round(workers * FPS * TARGET_S)


def test_a_backlog_is_answered_with_the_workers_that_render_it_in_time() -> None:
    assert hint().update(fleet(0, frames_for(7), workers=2)) == 7
    assert hint().update(fleet(0, frames_for(7) + 1, workers=2)) == 8


def test_no_more_workers_are_wanted_than_there_are_parts() -> None:
    assert workers_needed(fleet(0, 500, fps=FPS), FPS, target_s=0.1) == 4  # two chunks, the audio track, the joining


def test_without_a_measured_rate_one_worker_is_wanted_to_find_out() -> None:
    calm = hint()
    assert calm.update(fleet(0, frames_for(50))) == 1
    assert calm.update(fleet(1, frames_for(50), workers=1, fps=None)) == 1
    assert calm.update(fleet(2, frames_for(50), workers=1)) == 50


def test_a_rate_that_was_known_is_remembered_when_no_worker_is_left() -> None:
    calm = hint()
    calm.update(fleet(0, frames_for(3), workers=3))
    assert calm.update(fleet(1, frames_for(30))) == 30


@given(backlog=st.integers(1, 2_000_000), workers=st.integers(1, 50))
def test_more_work_is_answered_within_one_update(backlog: int, workers: int) -> None:
    calm = hint()
    calm.update(fleet(0, 0, workers))
    answered = calm.update(fleet(1, backlog, workers))
    assert answered >= min(workers_needed(fleet(1, backlog, workers), FPS, TARGET_S), 1_000)


@given(less=st.integers(0, 2_000_000), more=st.integers(0, 2_000_000), workers=st.integers(0, 50))
def test_the_hint_never_falls_when_the_backlog_is_larger(less: int, more: int, workers: int) -> None:
    small, large = sorted((less, more))
    assert hint().update(fleet(0, small, workers)) <= hint().update(fleet(0, large, workers))


def test_fewer_workers_must_have_been_enough_for_the_whole_time() -> None:
    calm = hint()
    calm.update(fleet(0, frames_for(20), workers=20))
    assert [calm.update(fleet(now_s, frames_for(5), workers=20)) for now_s in (60, 200, 299)] == [20, 20, 20]
    assert calm.update(fleet(301, frames_for(5), workers=20)) == 5


def test_a_need_in_between_begins_the_time_anew() -> None:
    calm = hint()
    calm.update(fleet(0, frames_for(20), workers=20))
    calm.update(fleet(250, frames_for(18), workers=20))
    assert calm.update(fleet(400, frames_for(5), workers=20)) == 20
    assert calm.update(fleet(551, frames_for(5), workers=20)) == 5


def test_a_fleet_that_is_hardly_too_large_stays() -> None:
    calm = hint()
    calm.update(fleet(0, frames_for(20), workers=20))
    for now_s in range(10, 2_000, 10):
        assert calm.update(fleet(now_s, frames_for(18), workers=20)) == 20
    assert frames_for(18) >= (1 - TOLERANCE) * frames_for(20)


def test_a_fleet_with_nothing_to_do_goes_down_to_its_least() -> None:
    calm = hint(minimum=2)
    calm.update(fleet(0, frames_for(20), workers=20))
    assert calm.update(fleet(301, 0, workers=20)) == 2
    assert calm.update(fleet(302, 0)) == 2


@given(noise=st.randoms(use_true_random=False), workers=st.integers(1, 200))
def test_a_noisy_rate_and_backlog_move_the_hint_up_to_its_highest_need_and_never_down(
    noise: random.Random, workers: int
) -> None:
    calm, told = hint(), []
    for step in range(200):
        rate = FPS * noise.uniform(0.97, 1.03)
        told.append(calm.update(fleet(step * 15.0, frames_for(workers), workers, fps=rate)))
    assert told == sorted(told)
    assert told[-1] <= workers * 1.04 + 1


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 400), st.integers(0, 500_000), st.integers(0, 60), st.integers(0, 60)), max_size=30
    ),
    least=st.integers(0, 5),
    most=st.integers(5, 40),
)
def test_the_hint_is_within_its_bounds_and_never_below_what_is_busy(
    steps: list[tuple[int, int, int, int]], least: int, most: int
) -> None:
    calm, now_s = hint(least, most), 0
    for pause_s, backlog, workers, busy in steps:
        now_s += pause_s
        view = fleet(now_s, backlog, workers, min(busy, workers))
        told = calm.update(view)
        assert least <= told <= most
        assert told >= min(busy_workers(view), most)


def test_workers_of_drained_hosts_count_neither_as_able_nor_as_busy() -> None:
    view = fleet(0, frames_for(2), workers=1)
    view = replace(view, workers=(*view.workers, worker(8, busy=True, drained=True, fps=1_000.0)))
    assert hint().update(view) == 2
    assert busy_workers(view) == 0


def test_paused_jobs_want_nobody() -> None:
    view = replace(fleet(0, 0), jobs=(job(frames_for(9), state=JobState.PAUSED),))
    assert hint().update(view) == 0


def test_a_redis_with_an_earlier_clock_begins_the_time_anew_and_keeps_the_hint() -> None:
    calm = hint()
    calm.update(fleet(10_000, frames_for(20), workers=20))
    assert calm.update(fleet(5, frames_for(5), workers=20)) == 20
    assert calm.update(fleet(200, frames_for(5), workers=20)) == 20
    assert calm.update(fleet(306, frames_for(5), workers=20)) == 5


def test_the_settings_say_what_to_aim_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_SCALE_TARGET_S", "50")
    monkeypatch.setenv("LIPSYNC_SCALE_MAX", "12")
    monkeypatch.setenv("LIPSYNC_SCALE_MIN", "3")
    calm = ScaleHint.of(Settings())
    assert calm.update(fleet(0, frames_for(4), workers=1)) == 8
    assert calm.update(fleet(1, frames_for(40), workers=1)) == 12
    assert ScaleHint.of(Settings()).update(fleet(0, 0)) == 3
