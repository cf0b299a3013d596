"""What a user is told of a job, and how many of its parts are under way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import NotFound, Rejected
from infra.store_directory import DirectoryStore
from jobs import keys
from jobs.dispatch import FORGOTTEN_OFFER_S, MIN_WINDOW, STALE_OFFER_S, dispatch, window_size
from jobs.ledger import JobTicket, JobView, Record
from jobs.ledger_memory import MemoryLedger
from jobs.manifest import Encoding, Manifest, write_manifest
from jobs.states import JobState, PartState
from jobs.status import read_status, status_from_view

JOB, OTHER_JOB = "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"

VIEW = JobView(
    job=JOB,
    state=JobState.RUNNING,
    chunks_total=4,
    chunks_done=1,
    chunks_failed=0,
    frames_total=1000,
    frames_done=300,
    avatar="ab" * 32,
    owner="anna",
    created_s=1_000_000.0,
    started_s=1_000_010.0,
    updated_s=1_000_020.0,
    now_s=1_000_022.0,
    output=None,
    error=None,
)


def test_rate_and_remaining_time_count_from_the_first_claim_until_now() -> None:
    found = status_from_view(VIEW)
    assert found.fps == 25.0  # 300 frames in 12 s
    assert found.eta_s == 28.0  # the 700 others at that rate


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_when_a_job_has_ended_its_rate_stands_still_and_nothing_remains(state: JobState) -> None:
    early = status_from_view(replace(VIEW, state=state))
    late = status_from_view(replace(VIEW, state=state, now_s=VIEW.now_s + 3600))
    assert early == late
    assert (late.fps, late.eta_s, late.ended) == (30.0, None, True)


@pytest.mark.parametrize("change", [{"started_s": None, "frames_done": 0}, {"frames_done": 0}], ids=str)
def test_before_the_first_frame_nothing_is_promised(change: dict[str, object]) -> None:
    found = status_from_view(replace(VIEW, **change))  # type: ignore[arg-type]
    assert (found.fps, found.eta_s, found.ended) == (None, None, False)


def test_while_the_video_is_put_together_no_frames_remain() -> None:
    found = status_from_view(replace(VIEW, state=JobState.ASSEMBLING, frames_done=1000, chunks_done=4))
    assert found.eta_s == 0.0


def test_frames_that_came_at_once_do_not_divide_by_zero() -> None:
    assert status_from_view(replace(VIEW, now_s=VIEW.started_s or 0.0)).fps == 300_000.0


def test_a_job_so_slow_that_its_rate_rounds_to_nothing_still_says_when_it_ends() -> None:
    found = status_from_view(replace(VIEW, frames_done=1, now_s=(VIEW.started_s or 0) + 1000))
    assert found.fps == 0.0
    assert found.eta_s == 999_000.0


@given(
    done=st.integers(1, 90_000),
    left=st.integers(0, 90_000),
    took_s=st.floats(0.01, 1e6),
    state=st.sampled_from([JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.ASSEMBLING]),
)
def test_rate_times_remaining_time_is_what_remains(done: int, left: int, took_s: float, state: JobState) -> None:
    view = replace(VIEW, state=state, frames_done=done, frames_total=done + left, started_s=0.0, now_s=took_s)
    found = status_from_view(view)
    assert found.fps is not None
    assert found.eta_s is not None
    assert found.fps == pytest.approx(done / took_s, abs=0.0051)
    assert found.eta_s == pytest.approx(left * took_s / done, abs=0.051)


def test_the_document_has_the_pinned_fields_in_jsons_types() -> None:
    document = status_from_view(VIEW).document()
    pinned = "job_id state frames_total frames_done chunks_total chunks_done chunks_failed fps eta_s output error"
    assert list(document) == pinned.split()
    assert json.loads(json.dumps(document)) == document
    assert type(document["state"]) is str


# --- jobs that the ledger has forgotten ---------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    manifest = Manifest(
        job=JOB,
        owner="anna",
        avatar="ab" * 32,
        length="exact",
        samples=164_900,
        frames_total=258,
        chunk_frames=100,
        width=1280,
        height=720,
        encoding=Encoding(),
        max_attempts=3,
        source_extension=".wav",
    )
    write_manifest(manifest, store)
    return store


def test_a_finished_job_is_known_from_the_store(store: DirectoryStore) -> None:
    store.put(keys.result(JOB), b'{"output": "/videos/x.mp4"}')
    found = read_status(JOB, MemoryLedger(), store)
    assert (found.state, found.output, found.frames_done, found.chunks_done) == (JobState.DONE, "/videos/x.mp4", 258, 3)


def test_a_cancelled_job_is_known_from_its_tombstone(store: DirectoryStore) -> None:
    store.put(keys.tombstone(JOB), b"")
    found = read_status(JOB, MemoryLedger(), store)
    assert (found.state, found.error, found.frames_done) == (JobState.CANCELLED, None, 0)


def test_an_interrupted_job_says_how_it_goes_on(store: DirectoryStore) -> None:
    found = read_status(JOB, MemoryLedger(), store)
    assert found.state is JobState.FAILED
    assert f"lipsync retry {JOB}" in str(found.error)
    assert (found.frames_total, found.chunks_total) == (258, 3)


def test_an_unknown_job_is_named(store: DirectoryStore) -> None:
    with pytest.raises(NotFound, match=OTHER_JOB):
        read_status(OTHER_JOB, MemoryLedger(), store)


def test_what_is_no_job_id_is_refused(store: DirectoryStore) -> None:
    with pytest.raises(Rejected, match="not a job id"):
        read_status("../secrets", MemoryLedger(), store)


# --- the dispatcher -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "jobs", "window"),
    [(0, 1, 2), (2, 1, 2), (4, 1, 4), (16, 1, 16), (16, 3, 6), (16, 4, 4), (16, 100, 2), (2000, 3, 667)],
)
def test_long_jobs_have_equal_shares(parts: int, jobs: int, window: int) -> None:
    assert window_size(parts, [5000] * jobs) == window


@pytest.mark.parametrize(
    ("unfinished", "window"),
    [([3600, 1], 999), ([12] * 20 + [3600], 760), ([12] * 20 + [3600, 3600], 380), ([1, 10, 3600, 500], 495)],
)
def test_what_short_jobs_leave_of_their_share_goes_to_the_long_ones(unfinished: list[int], window: int) -> None:
    assert window_size(1000, unfinished) == window


@given(parts=st.integers(0, 10_000), unfinished=st.lists(st.integers(1, 5_000), max_size=100))
def test_as_many_parts_are_under_way_as_there_should_be_or_all_that_there_are(
    parts: int, unfinished: list[int]
) -> None:
    window = window_size(parts, unfinished)
    under_way = sum(min(window, wanted) for wanted in unfinished)
    assert under_way >= min(parts, sum(unfinished))
    assert under_way < parts + len(unfinished) or window == MIN_WINDOW or under_way == sum(unfinished) <= parts


class Clock:
    """A clock that a test sets."""

    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def ledger_with(*jobs: str, workers: int, clock: Clock) -> MemoryLedger:
    ledger = MemoryLedger(clock=clock)
    for job in jobs:
        ledger.open(JobTicket(job, chunks_total=50, frames_total=5000, max_attempts=3, avatar="ab" * 32, owner="anna"))
    for worker in range(workers):
        ledger.worker_seen(f"worker-{worker}")
    return ledger


def rings(ledger: MemoryLedger, queue_depth: int = 0, jobs: list[str] | None = None) -> list[tuple[str, str]]:
    rung: list[tuple[str, str]] = []
    assert dispatch(ledger, lambda job, part: rung.append((job, part)), queue_depth, jobs) == len(rung)
    return rung


def test_every_job_gets_its_window_and_no_more_however_often_one_asks() -> None:
    ledger = ledger_with(JOB, OTHER_JOB, workers=5, clock=Clock())
    first = rings(ledger)
    assert len(first) == len(set(first)) == 10
    assert {job: sum(one == job for one, _ in first) for job in (JOB, OTHER_JOB)} == {JOB: 5, OTHER_JOB: 5}
    assert [rings(ledger) for _ in range(3)] == [[], [], []]


def test_a_job_that_is_being_assembled_keeps_nobody_from_the_others() -> None:
    ledger = ledger_with(JOB, OTHER_JOB, workers=5, clock=Clock())
    for part in ["audio", *map(str, range(50))]:
        attempt = ledger.claim(JOB, part, "worker-0").attempt
        ledger.finish(JOB, part, Record(attempt, "ab" * 32, 1, 100))
    assert [part for job, part in rings(ledger) if job == JOB] == ["assemble"]
    assert len(rings(ledger, jobs=[OTHER_JOB])) == 0  # its nine were rung for above
    assert sum(ledger.part_state(OTHER_JOB, str(chunk)) is PartState.OFFERED for chunk in range(50)) == 8


def test_only_the_jobs_that_were_named_are_offered() -> None:
    ledger = ledger_with(JOB, OTHER_JOB, workers=5, clock=Clock())
    assert {job for job, _ in rings(ledger, jobs=[OTHER_JOB])} == {OTHER_JOB}


@pytest.mark.parametrize(("queue_depth", "patience_s"), [(0, STALE_OFFER_S), (3, FORGOTTEN_OFFER_S)])
def test_an_offer_that_nobody_took_is_rung_again_later_when_the_queue_is_not_empty(
    queue_depth: int, patience_s: float
) -> None:
    clock = Clock()
    ledger = ledger_with(JOB, workers=2, clock=clock)
    first = rings(ledger, queue_depth)
    clock.now_s += patience_s - 1
    for worker in range(2):
        ledger.worker_seen(f"worker-{worker}")
    assert rings(ledger, queue_depth) == []
    clock.now_s += 2
    assert sorted(rings(ledger, queue_depth)) == sorted(first)
