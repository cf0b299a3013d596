"""One contract for both ledgers: Redis with its scripts, and the twin in memory."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ulid import ULID

from infra.embedded_redis import carried_redis_server
from infra.settings import Settings
from jobs import tallies
from jobs.ledger import FAILURE_WEIGHT, HANDED_BACK_WEIGHT, TRANSIENT_WEIGHT, JobTicket, Ledger, Record
from jobs.ledger_memory import MemoryLedger
from jobs.ledger_redis import RedisLedger
from jobs.states import LEGAL_MOVES, JobState, PartState, may_move
from tests.servers import RedisServer, redis_server, wait_until

BRIEF_S = 0.05
STALE_S = 60.0
RECORD = Record(1, "a" * 64, 1000, 10)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(scope="module")
def carried_server() -> Iterator[RedisServer]:
    """The oldest Redis that is supported: the one in the wheel."""
    program = carried_redis_server()
    if program is None:
        pytest.skip("no package carries a redis-server for this Python and machine")
    with redis_server(program=program) as running:
        yield running


@pytest.fixture(params=["server", "carried_server", "memory"])
def make_ledger(request: pytest.FixtureRequest) -> Iterator[object]:
    """Makes ledgers with a claim's time to live; those on Redis share one book."""
    if request.param == "memory":
        yield MemoryLedger
        return
    server = request.getfixturevalue(request.param)
    settings = Settings(redis_url=server.url, redis_prefix=f"t{ULID()}:", home=Path("/nonexistent"))
    yield lambda claim_ttl_s=30.0: RedisLedger(settings, claim_ttl_s)


@pytest.fixture
def ledger(make_ledger: object) -> Ledger:
    return make_ledger()  # type: ignore[operator, no-any-return]


@pytest.fixture
def brief(make_ledger: object) -> Ledger:
    """A ledger whose claims run out at once."""
    return make_ledger(claim_ttl_s=BRIEF_S)  # type: ignore[operator, no-any-return]


def ticket(chunks: int = 3, max_attempts: int = 3, key: str | None = None) -> JobTicket:
    return JobTicket(str(ULID()), chunks, chunks * 10, max_attempts, "d" * 64, "me", key)


def opened(ledger: Ledger, chunks: int = 3, max_attempts: int = 3) -> str:
    return ledger.open(ticket(chunks, max_attempts))


def state(ledger: Ledger, job: str) -> JobState:
    view = ledger.view(job)
    assert view is not None
    return view.state


def do(ledger: Ledger, job: str, part: str, frames: int = 10) -> str:
    claim = ledger.claim(job, part, "w")
    assert claim.granted, claim
    return ledger.finish(
        job, part, Record(claim.attempt, "a" * 64, 1000, frames), "where" if part == "assemble" else None
    )


def finish_all(ledger: Ledger, job: str, chunks: int = 3) -> None:
    for part in ["audio", *map(str, range(chunks))]:
        assert do(ledger, job, part, 0 if part == "audio" else 10) == "recorded"


def test_a_new_job_is_queued_and_nothing_of_it_is_done(ledger: Ledger) -> None:
    view = ledger.view(opened(ledger))
    assert view is not None
    assert (view.state, view.chunks_done, view.frames_done, view.frames_total) == (JobState.QUEUED, 0, 0, 30)
    assert view.started_s is None and view.error is None and view.output is None


def test_an_unknown_job_is_nothing_and_stays_nothing(ledger: Ledger) -> None:
    job = str(ULID())
    assert ledger.view(job) is None
    assert ledger.offer(job, 5, STALE_S) == []
    assert ledger.claim(job, "0", "w").verdict == "unknown"
    assert ledger.renew(job, "0", 1, 0) == "lost"
    assert ledger.finish(job, "0", RECORD) == "unknown"
    assert ledger.fail(job, "0", 1, "x", FAILURE_WEIGHT, 0) == "lost"
    assert ledger.move(job, JobState.CANCELLED) is None
    assert ledger.retry(job) is None
    assert ledger.view(job) is None and ledger.unfinished() == {}


def test_the_audio_track_is_offered_first_and_then_chunks_in_order(ledger: Ledger) -> None:
    assert ledger.offer(opened(ledger, chunks=5), 4, STALE_S) == ["audio", "0", "1", "2"]


def test_no_more_than_a_window_is_under_way(ledger: Ledger) -> None:
    job = opened(ledger, chunks=5)
    assert len(ledger.offer(job, 2, STALE_S)) == 2
    assert ledger.offer(job, 2, STALE_S) == []
    do(ledger, job, "audio", 0)
    assert ledger.offer(job, 2, STALE_S) == ["1"]
    assert ledger.claim(job, "0", "w").granted
    assert ledger.offer(job, 2, STALE_S) == []  # claimed ones count, too


def test_what_was_offered_last_and_is_not_taken_comes_next(ledger: Ledger) -> None:
    job = opened(ledger, chunks=5)
    assert ledger.upcoming(job) is None
    assert ledger.upcoming(str(ULID())) is None
    for window, part in ((1, "audio"), (2, "0"), (3, "1")):
        assert ledger.offer(job, window, STALE_S) == [part]
        assert ledger.upcoming(job) == part
        time.sleep(0.002)  # the clock of Redis counts milliseconds
    assert ledger.claim(job, "1", "w").granted
    assert ledger.upcoming(job) == "0"
    assert ledger.claim(job, "0", "w").granted
    assert ledger.claim(job, "audio", "w").granted
    assert ledger.upcoming(job) is None


def test_a_part_goes_through_its_states(ledger: Ledger) -> None:
    job = opened(ledger)
    assert ledger.part_state(job, "0") is PartState.PENDING
    ledger.offer(job, 2, STALE_S)
    assert ledger.part_state(job, "0") is PartState.OFFERED
    ledger.claim(job, "0", "w")
    assert ledger.part_state(job, "0") is PartState.CLAIMED
    ledger.finish(job, "0", RECORD)
    assert ledger.part_state(job, "0") is PartState.DONE


def test_two_workers_cannot_hold_one_chunk(ledger: Ledger) -> None:
    job = opened(ledger)
    assert ledger.claim(job, "0", "first") == ("claimed", 1)
    assert ledger.claim(job, "0", "second").verdict == "taken"


def test_of_many_claims_at_once_one_is_granted(ledger: Ledger) -> None:
    job, granted = opened(ledger), []

    def ask(name: int) -> None:
        if ledger.claim(job, "1", f"w{name}").granted:
            granted.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 1


@pytest.mark.parametrize("part", ["3", "999999"])
def test_a_chunk_that_the_job_does_not_have_is_unknown(ledger: Ledger, part: str) -> None:
    assert ledger.claim(opened(ledger), part, "w").verdict == "unknown"


def test_the_first_claim_starts_the_job(ledger: Ledger) -> None:
    job = opened(ledger)
    ledger.claim(job, "0", "w")
    view = ledger.view(job)
    assert view is not None and view.state is JobState.RUNNING and view.started_s is not None


def test_progress_counts_finished_and_reported_frames(ledger: Ledger) -> None:
    job = opened(ledger)
    do(ledger, job, "0")
    claim = ledger.claim(job, "1", "w")
    assert ledger.renew(job, "1", claim.attempt, 4) == "held"
    view = ledger.view(job)
    assert view is not None and view.frames_done == 14 and view.chunks_done == 1
    ledger.finish(job, "1", Record(claim.attempt, "b" * 64, 1, 10))
    view = ledger.view(job)
    assert view is not None and view.frames_done == 20


def test_a_second_finish_changes_nothing(ledger: Ledger) -> None:
    job = opened(ledger)
    do(ledger, job, "0")
    before = ledger.records(job)
    assert ledger.finish(job, "0", Record(7, "f" * 64, 5, 10)) == "duplicate"
    view = ledger.view(job)
    assert ledger.records(job) == before and view is not None and view.frames_done == 10


def test_a_finished_part_is_not_claimed_again(ledger: Ledger) -> None:
    job = opened(ledger)
    do(ledger, job, "0")
    assert ledger.claim(job, "0", "w").verdict == "done"


def test_assembly_comes_after_everything_else_and_ends_the_job(ledger: Ledger) -> None:
    job = opened(ledger)
    assert ledger.claim(job, "assemble", "w").verdict == "early"
    finish_all(ledger, job)
    assert state(ledger, job) is JobState.ASSEMBLING
    assert ledger.offer(job, 5, STALE_S) == ["assemble"]
    assert ledger.offer(job, 5, STALE_S) == []
    assert do(ledger, job, "assemble", 0) == "recorded"
    view = ledger.view(job)
    assert view is not None and (view.state, view.output, view.frames_done) == (JobState.DONE, "where", 30)
    assert view.chunks_done == 3 and ledger.unfinished() == {}
    assert ledger.claim(job, "assemble", "w").verdict == "done"
    assert ledger.finish(job, "assemble", RECORD, "elsewhere") == "duplicate"


def test_a_claim_that_runs_out_is_given_to_another_and_counted(brief: Ledger) -> None:
    job = opened(brief)
    assert brief.claim(job, "0", "first") == ("claimed", 1)
    wait_until(lambda: brief.claim(job, "0", "second").granted, 5, "the claim to run out")
    assert brief.renew(job, "0", 1, 3) == "lost"


def test_a_renewed_claim_does_not_run_out(make_ledger: object) -> None:
    ledger: Ledger = make_ledger(claim_ttl_s=0.6)  # type: ignore[operator]
    job = opened(ledger)
    claim = ledger.claim(job, "0", "w")
    rounds = iter(range(1000))
    wait_until(lambda: ledger.renew(job, "0", claim.attempt, 0) == "held" and next(rounds) > 20, 10, "many renewals")
    assert ledger.claim(job, "0", "other").verdict == "taken"


def test_the_dispatcher_offers_what_a_vanished_worker_held(brief: Ledger) -> None:
    job = opened(brief)
    brief.offer(job, 2, STALE_S)
    brief.claim(job, "0", "gone")
    wait_until(lambda: "0" in brief.offer(job, 2, STALE_S), 5, "the part to be offered again")


def test_a_late_finish_of_a_lost_claim_counts_and_the_other_holder_is_told(brief: Ledger) -> None:
    job = opened(brief)
    brief.claim(job, "0", "slow")
    wait_until(lambda: brief.claim(job, "0", "fast").granted, 5, "the claim to run out")
    assert brief.finish(job, "0", Record(1, "a" * 64, 9, 10)) == "recorded"
    assert brief.renew(job, "0", 1, 5) == "lost"
    assert brief.finish(job, "0", Record(2, "b" * 64, 9, 10)) == "duplicate"
    assert brief.records(job)["0"].attempt == 1


def test_a_lost_message_is_rung_again_when_it_is_stale(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    assert ledger.offer(job, 5, STALE_S) == ["audio", "0"]
    assert ledger.offer(job, 5, STALE_S) == []
    assert set(ledger.offer(job, 5, -1.0)) == {"audio", "0"}


def test_failures_are_tried_again_up_to_the_limit_and_then_the_job_fails(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=2)
    for attempt in (1, 2):
        claim = ledger.claim(job, "1", "w")
        assert claim.granted
        verdict = ledger.fail(job, "1", claim.attempt, f"reason {attempt}", FAILURE_WEIGHT, 0)
        assert verdict == ("again" if attempt == 1 else "quarantined")
    view = ledger.view(job)
    assert view is not None
    assert (view.state, view.error, view.chunks_failed) == (JobState.FAILED, "reason 2", 1)
    assert ledger.quarantine(job) == {"1": "reason 2"}
    assert ledger.part_state(job, "1") is PartState.QUARANTINED
    assert ledger.claim(job, "1", "w").verdict == "quarantined"
    assert ledger.claim(job, "2", "w").verdict == "failed"
    assert ledger.offer(job, 5, STALE_S) == [] and ledger.unfinished() == {}


def test_workers_that_vanish_again_and_again_quarantine_the_part(brief: Ledger) -> None:
    job = opened(brief, max_attempts=2)

    def vanish() -> bool:
        brief.claim(job, "0", "doomed")
        return state(brief, job) is JobState.FAILED

    wait_until(vanish, 5, "quarantine")
    assert "vanished" in brief.quarantine(job)["0"] and "doomed" in brief.quarantine(job)["0"]


def test_a_worker_that_failed_a_part_leaves_it_to_others_while_there_are_any(ledger: Ledger) -> None:
    job = opened(ledger)
    for name in ("sick", "healthy"):
        ledger.worker_seen(name)
    claim = ledger.claim(job, "0", "sick")
    ledger.fail(job, "0", claim.attempt, "x", FAILURE_WEIGHT, 0)
    assert ledger.claim(job, "0", "sick").verdict == "others"
    assert ledger.claim(job, "1", "sick").granted
    claim = ledger.claim(job, "0", "healthy")
    assert claim.granted and ledger.finish(job, "0", Record(claim.attempt, "a" * 64, 1, 10)) == "recorded"


def test_a_worker_that_is_alone_tries_again_what_it_failed(ledger: Ledger) -> None:
    job = opened(ledger)
    ledger.worker_seen("only")
    claim = ledger.claim(job, "0", "only")
    ledger.fail(job, "0", claim.attempt, "x", FAILURE_WEIGHT, 0)
    assert ledger.claim(job, "0", "only").granted


def test_a_part_declined_by_the_worker_that_failed_it_is_offered_again(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    for name in ("sick", "healthy"):
        ledger.worker_seen(name)
    ledger.offer(job, 5, STALE_S)
    claim = ledger.claim(job, "0", "sick")
    ledger.fail(job, "0", claim.attempt, "x", FAILURE_WEIGHT, 0)
    wait_until(lambda: ledger.offer(job, 5, STALE_S) == ["0"], 5, "the part to be offered again")
    assert ledger.claim(job, "0", "sick").verdict == "others"  # this message is used up
    wait_until(lambda: ledger.offer(job, 5, STALE_S) == ["0"], 5, "the part to be offered to others")


def test_a_part_that_is_quarantined_while_the_job_is_paused_fails_it_when_it_goes_on(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=1)
    claim = ledger.claim(job, "0", "w")
    ledger.move(job, JobState.PAUSED)
    assert ledger.fail(job, "0", claim.attempt, "poison", FAILURE_WEIGHT, 0) == "quarantined"
    assert state(ledger, job) is JobState.PAUSED
    ledger.move(job, JobState.QUEUED)
    assert ledger.offer(job, 5, STALE_S) == []
    view = ledger.view(job)
    assert view is not None and (view.state, view.error) == (JobState.FAILED, "poison")


def test_a_late_finish_of_the_only_quarantined_part_lets_the_job_go_on(brief: Ledger) -> None:
    job = opened(brief, max_attempts=1)
    brief.claim(job, "0", "slow")
    wait_until(lambda: brief.offer(job, 5, STALE_S) == [] and state(brief, job) is JobState.FAILED, 5, "the failure")
    assert brief.finish(job, "0", RECORD) == "recorded"
    view = brief.view(job)
    assert view is not None and (view.state, view.error, view.chunks_failed) == (JobState.QUEUED, None, 0)


def test_nothing_is_given_back_to_a_job_that_was_cancelled(ledger: Ledger) -> None:
    job = opened(ledger)
    claim = ledger.claim(job, "0", "w")
    ledger.move(job, JobState.CANCELLED)
    assert ledger.fail(job, "0", claim.attempt, "x", HANDED_BACK_WEIGHT, 0) == "lost"


def test_an_old_job_whose_claims_were_lost_gives_no_attempt_number_twice(ledger: Ledger) -> None:
    yesterday = ULID.from_timestamp(time.time() - 86_400)
    job = ledger.open(JobTicket(str(yesterday), 1, 10, 3, "d" * 64, "me"))
    first = ledger.claim(job, "0", "w")
    assert first.attempt >= 86_400  # a later claim is numbered higher even when this one is forgotten


def test_transient_errors_are_forgiven_ten_times_as_often(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=1)
    for _ in range(FAILURE_WEIGHT - 1):
        claim = ledger.claim(job, "0", "w")
        assert ledger.fail(job, "0", claim.attempt, "store away", TRANSIENT_WEIGHT, 0) == "again"
    claim = ledger.claim(job, "0", "w")
    assert ledger.fail(job, "0", claim.attempt, "store away", TRANSIENT_WEIGHT, 0) == "quarantined"


def test_handing_back_counts_for_nothing(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=1)
    for _ in range(20):
        claim = ledger.claim(job, "0", "w")
        assert ledger.fail(job, "0", claim.attempt, "told to stop", HANDED_BACK_WEIGHT, 0) == "again"


def left(ledger: Ledger, job: str, part: str, worker: str = "w") -> str:
    """A worker claims a part and leaves it to others."""
    return ledger.leave(job, part, ledger.claim(job, part, worker).attempt, "it waits for a card")


def test_a_part_that_is_left_to_others_counts_for_nothing_and_is_offered_again_after_a_while(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1, max_attempts=1)
    ledger.offer(job, 4, STALE_S)
    for _ in range(5):
        assert left(ledger, job, "0") == "others"
        assert ledger.part_state(job, "0") is PartState.PENDING
    assert ledger.offer(job, 4, STALE_S) == [], "not at once, or a worker that is alone would do nothing else"
    wait_until(lambda: ledger.offer(job, 4, STALE_S) == ["0"], 5, "the part to be offered again")
    assert ledger.quarantine(job) == {}
    assert ledger.claim(job, "0", "w").granted, "nobody has failed it"


def test_a_job_says_what_it_waits_for_until_somebody_works_on_it(ledger: Ledger) -> None:
    job = opened(ledger)
    left(ledger, job, "0")
    assert told(ledger, job) == "it waits for a card"
    able = ledger.claim(job, "1", "able")
    assert ledger.renew(job, "1", able.attempt, 3) == "held"
    assert told(ledger, job) is None
    left(ledger, job, "0")
    assert told(ledger, job) is None, "somebody works on it"
    ledger.finish(job, "1", RECORD)
    left(ledger, job, "0")
    assert told(ledger, job) == "it waits for a card"
    do(ledger, job, "0")
    assert told(ledger, job) is None


@pytest.mark.parametrize("target", [JobState.CANCELLED, JobState.PAUSED])
def test_a_job_that_is_stopped_waits_for_nothing_any_more(ledger: Ledger, target: JobState) -> None:
    job = opened(ledger)
    left(ledger, job, "0")
    held = ledger.claim(job, "1", "w")
    ledger.move(job, target)
    assert told(ledger, job) is None
    assert ledger.leave(job, "1", held.attempt, "too late") == ("lost" if target is JobState.CANCELLED else "others")
    assert told(ledger, job) is None


def test_a_failed_job_keeps_its_error_whatever_is_left_or_renewed(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=1)
    held, kept = ledger.claim(job, "1", "w"), ledger.claim(job, "2", "w")
    ledger.fail(job, "0", ledger.claim(job, "0", "w").attempt, "broken", FAILURE_WEIGHT, 0)
    ledger.renew(job, "2", kept.attempt, 1)
    ledger.leave(job, "1", held.attempt, "it waits for a card")
    ledger.finish(job, "2", RECORD)
    ledger.move(job, JobState.CANCELLED)
    assert told(ledger, job) == "broken"


def test_only_the_holder_can_leave_a_part_to_others(ledger: Ledger) -> None:
    job = opened(ledger)
    attempt = ledger.claim(job, "0", "w").attempt
    assert ledger.leave(job, "0", attempt + 1, "not mine") == "lost"
    assert ledger.leave(str(ULID()), "0", 1, "no such job") == "lost"
    assert ledger.part_state(job, "0") is PartState.CLAIMED


def told(ledger: Ledger, job: str) -> str | None:
    """The job's error."""
    view = ledger.view(job)
    assert view is not None
    return view.error


def test_a_failed_part_is_not_offered_before_its_delay(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    ledger.offer(job, 5, STALE_S)
    claim = ledger.claim(job, "0", "w")
    ledger.fail(job, "0", claim.attempt, "x", FAILURE_WEIGHT, 60.0)
    assert ledger.offer(job, 5, STALE_S) == []
    claim = ledger.claim(job, "audio", "w")
    ledger.fail(job, "audio", claim.attempt, "x", FAILURE_WEIGHT, 0.0)
    wait_until(lambda: ledger.offer(job, 5, STALE_S) == ["audio"], 5, "the part without delay")


def test_only_the_holder_can_fail_a_part(ledger: Ledger) -> None:
    job = opened(ledger)
    claim = ledger.claim(job, "0", "w")
    assert ledger.fail(job, "0", claim.attempt + 1, "x", FAILURE_WEIGHT, 0) == "lost"
    assert ledger.fail(job, "1", 1, "x", FAILURE_WEIGHT, 0) == "lost"
    assert ledger.renew(job, "0", claim.attempt, 0) == "held"


def test_retry_takes_parts_out_of_quarantine_and_keeps_what_is_done(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=1)
    do(ledger, job, "0")
    first, second = ledger.claim(job, "1", "w"), ledger.claim(job, "2", "w")
    ledger.fail(job, "1", first.attempt, "poison", FAILURE_WEIGHT, 0)
    ledger.fail(job, "2", second.attempt, "poison too", FAILURE_WEIGHT, 0)
    assert ledger.retry(job, ["1"]) is JobState.FAILED
    assert set(ledger.quarantine(job)) == {"2"}
    assert ledger.retry(job) is JobState.QUEUED
    view = ledger.view(job)
    assert view is not None and view.error is None and view.chunks_done == 1 and job in ledger.unfinished()
    assert {"1", "2"} <= set(ledger.offer(job, 5, STALE_S))
    again = ledger.claim(job, "1", "w")
    assert again.granted and again.attempt > first.attempt  # no segment's name is used twice
    assert ledger.fail(job, "1", again.attempt, "poison", FAILURE_WEIGHT, 0) == "quarantined"


def test_a_failed_assembly_is_retried_as_assembly(ledger: Ledger) -> None:
    job = opened(ledger, max_attempts=1)
    finish_all(ledger, job)
    claim = ledger.claim(job, "assemble", "w")
    ledger.fail(job, "assemble", claim.attempt, "disk full", FAILURE_WEIGHT, 0)
    assert state(ledger, job) is JobState.FAILED
    assert ledger.retry(job) is JobState.ASSEMBLING
    assert ledger.offer(job, 5, STALE_S) == ["assemble"]
    assert do(ledger, job, "assemble", 0) == "recorded"


def test_retry_leaves_a_job_that_did_not_fail_alone(ledger: Ledger) -> None:
    assert ledger.retry(opened(ledger)) is JobState.QUEUED


def test_a_cancelled_job_gives_no_work_and_takes_none(ledger: Ledger) -> None:
    job = opened(ledger)
    claim = ledger.claim(job, "0", "w")
    ledger.renew(job, "0", claim.attempt, 5)
    assert ledger.move(job, JobState.CANCELLED) is JobState.CANCELLED
    assert ledger.renew(job, "0", claim.attempt, 6) == "cancelled"
    view = ledger.view(job)
    assert view is not None and view.frames_done == 0  # nobody holds anything any more
    assert ledger.finish(job, "0", RECORD) == "cancelled"
    assert ledger.claim(job, "1", "w").verdict == "cancelled"
    assert ledger.offer(job, 5, STALE_S) == [] and ledger.unfinished() == {} and ledger.records(job) == {}


def test_a_paused_job_lets_its_chunks_finish_and_goes_on_later(ledger: Ledger) -> None:
    job = opened(ledger)
    claim = ledger.claim(job, "0", "w")
    assert ledger.move(job, JobState.PAUSED) is JobState.PAUSED
    assert ledger.offer(job, 5, STALE_S) == []
    assert ledger.claim(job, "1", "w").verdict == "paused"
    assert ledger.renew(job, "0", claim.attempt, 1) == "held"
    assert ledger.finish(job, "0", RECORD) == "recorded"
    assert job not in ledger.unfinished()  # it takes no share of the workers
    assert ledger.move(job, JobState.QUEUED) is JobState.QUEUED
    assert job in ledger.unfinished() and ledger.offer(job, 5, STALE_S)


def test_what_was_offered_before_a_pause_is_offered_again_after_it(ledger: Ledger) -> None:
    job = opened(ledger)
    assert ledger.offer(job, 2, STALE_S) == ["audio", "0"]
    ledger.move(job, JobState.PAUSED)
    assert ledger.claim(job, "0", "w").verdict == "paused"  # this message is used up
    ledger.move(job, JobState.QUEUED)
    assert ledger.offer(job, 2, STALE_S) == ["0"]


def test_a_job_whose_last_chunk_finished_while_paused_is_assembled_after_it(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    do(ledger, job, "audio", 0)
    ledger.claim(job, "0", "w")
    ledger.move(job, JobState.PAUSED)
    ledger.finish(job, "0", RECORD)
    assert state(ledger, job) is JobState.PAUSED
    ledger.move(job, JobState.QUEUED)
    assert ledger.offer(job, 5, STALE_S) == ["assemble"]


def _bring(ledger: Ledger, job: str, target: JobState) -> None:
    """Bring a fresh job of one chunk into a state by the ordinary ways."""
    if target in (JobState.PAUSED, JobState.CANCELLED, JobState.FAILED):
        ledger.move(job, target, "why")
    elif target is JobState.RUNNING:
        ledger.claim(job, "0", "w")
    elif target in (JobState.ASSEMBLING, JobState.DONE):
        finish_all(ledger, job, 1)
        if target is JobState.DONE:
            do(ledger, job, "assemble", 0)


@pytest.mark.parametrize("before", list(JobState))
@pytest.mark.parametrize("target", list(JobState))
def test_only_legal_states_move(ledger: Ledger, before: JobState, target: JobState) -> None:
    job = opened(ledger, chunks=1)
    _bring(ledger, job, before)
    assert state(ledger, job) is before
    after = ledger.move(job, target)
    assert after is (target if may_move(before, target) else before)
    assert state(ledger, job) is after


def test_every_state_can_be_left_or_is_final() -> None:
    assert {state for state, moves in LEGAL_MOVES.items() if not moves} == {JobState.DONE, JobState.CANCELLED}


def test_an_idempotency_key_means_one_job(ledger: Ledger) -> None:
    first, second, other = ticket(key="k"), ticket(key="k"), ticket(key="l")
    assert ledger.find("me", "k") is None
    assert ledger.open(first) == first.job
    assert ledger.open(second) == first.job
    assert ledger.view(second.job) is None
    assert ledger.open(other) == other.job
    assert ledger.find("me", "k") == first.job and ledger.find("you", "k") is None


def test_opening_a_job_twice_changes_nothing(ledger: Ledger) -> None:
    one = ticket()
    ledger.open(one)
    do(ledger, one.job, "0")
    assert ledger.open(one) == one.job
    view = ledger.view(one.job)
    assert view is not None and view.chunks_done == 1


def test_a_job_is_opened_again_with_what_is_done_already(ledger: Ledger) -> None:
    one = ticket(chunks=3)
    done = {"audio": Record(0, "c" * 64, 5, 0), "1": Record(4, "e" * 64, 5, 10)}
    ledger.open(one, done)
    assert ledger.records(one.job) == done
    view = ledger.view(one.job)
    assert view is not None and view.frames_done == 10 and view.chunks_done == 1
    assert ledger.offer(one.job, 9, STALE_S) == ["0", "2"]


def test_a_job_that_is_all_done_when_opened_is_assembled(ledger: Ledger) -> None:
    one = ticket(chunks=1)
    ledger.open(one, {"audio": Record(0, "c" * 64, 5, 0), "0": Record(1, "e" * 64, 5, 10)})
    assert ledger.offer(one.job, 9, STALE_S) == ["assemble"]


def test_the_newest_jobs_come_first(ledger: Ledger) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(opened(ledger))
        wait_until(lambda: ledger.my_turn(f"tick-{len(jobs)}", 0.001), 5, "the clock to tick")
    found = [view.job for view in ledger.latest(2)]
    assert len(found) == 2 and set(found) <= set(jobs)


def test_jobs_of_an_avatar_are_found_in_every_state(ledger: Ledger) -> None:
    avatar = "e" * 64
    expected = {}
    for moves in ([], [JobState.PAUSED], [JobState.FAILED], [JobState.CANCELLED], [JobState.ASSEMBLING, JobState.DONE]):
        job = ledger.open(replace(ticket(), avatar=avatar))
        for target in moves:
            ledger.move(job, target)
        expected[job] = state(ledger, job)
    opened(ledger)  # a job of another avatar
    assert ledger.jobs_of(avatar) == expected and len(set(expected.values())) == 5
    assert ledger.jobs_of("f" * 64) == {}


def test_an_avatar_is_removed_by_one_at_a_time(ledger: Ledger) -> None:
    avatar, other = "e" * 64, "f" * 64
    assert ledger.begin_removal(avatar, "one") and ledger.begin_removal(other, "two")
    assert ledger.begin_removal(avatar, "one"), "asked again, it still holds"
    assert not ledger.begin_removal(avatar, "two")
    ledger.end_removal(avatar, "two")
    assert not ledger.begin_removal(avatar, "two"), "only its holder ends it"
    ledger.end_removal(avatar, "one")
    assert ledger.begin_removal(avatar, "two")


def test_of_many_removals_at_once_one_begins(ledger: Ledger) -> None:
    start = threading.Barrier(8)
    begun: list[bool] = []

    def begin(token: str) -> None:
        start.wait()
        begun.append(ledger.begin_removal("e" * 64, token))

    threads = [threading.Thread(target=begin, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == [False] * 7 + [True]


def test_the_removal_of_somebody_killed_runs_out(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("jobs.ledger_redis", "jobs.ledger_memory"):
        monkeypatch.setattr(f"{module}.REMOVAL_TTL_S", BRIEF_S)
    assert ledger.begin_removal("e" * 64, "killed")
    wait_until(lambda: ledger.begin_removal("e" * 64, "next"), 5, "the removal to run out")
    monkeypatch.undo()
    assert ledger.begin_removal("e" * 64, "next") and not ledger.begin_removal("e" * 64, "killed")


def test_what_is_not_finished_is_counted_down_to_the_assembly_of_every_job_oldest_first(ledger: Ledger) -> None:
    jobs = [opened(ledger, chunks) for chunks in (3, 1, 2)]
    assert list(ledger.unfinished().items()) == list(zip(jobs, (5, 3, 4), strict=True))
    ledger.claim(jobs[1], "0", "w")  # what is claimed is not finished
    finish_all(ledger, jobs[0])
    assert ledger.unfinished() == {jobs[0]: 1, jobs[1]: 3, jobs[2]: 4}
    do(ledger, jobs[0], "assemble", 0)
    assert ledger.unfinished() == {jobs[1]: 3, jobs[2]: 4}


def test_workers_count_while_they_are_seen(ledger: Ledger) -> None:
    assert ledger.workers_alive() == 0
    for name in ("a", "b", "a"):
        ledger.worker_seen(name)
    assert ledger.workers_alive() == 2
    ledger.worker_gone("a")
    assert ledger.workers_alive() == 1


def test_one_of_many_has_the_turn(ledger: Ledger) -> None:
    assert ledger.my_turn("look", 30.0)
    assert not ledger.my_turn("look", 30.0)
    assert ledger.my_turn("other", 30.0)


def test_a_drained_host_takes_nothing_and_its_part_goes_to_others(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    ledger.offer(job, 5, STALE_S)
    ledger.drain("away")
    assert ledger.drained() == {"away"}
    assert ledger.claim(job, "0", "gpu0@away").verdict == "drained"
    assert ledger.part_state(job, "0") is PartState.PENDING  # and not lost: it is rung for again in a moment
    assert ledger.claim(job, "0", "gpu0@here").granted


def test_what_a_host_holds_when_it_is_drained_it_finishes(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    claim = ledger.claim(job, "0", "gpu0@away")
    ledger.drain("away")
    assert ledger.renew(job, "0", claim.attempt, 5) == "held"
    assert ledger.finish(job, "0", Record(claim.attempt, "a" * 64, 1000, 10)) == "recorded"


def test_workers_of_a_drained_host_do_not_count_until_it_is_let_back_in(ledger: Ledger) -> None:
    assert ledger.worker_seen("gpu0@away") and ledger.worker_seen("gpu0@here")
    assert ledger.workers_alive() == 2
    ledger.drain("away")
    assert ledger.workers_alive() == 1
    assert not ledger.worker_seen("gpu0@away")
    assert ledger.workers_alive() == 1
    ledger.undrain("away")
    assert ledger.worker_seen("gpu0@away") and ledger.workers_alive() == 2
    assert ledger.drained() == frozenset()


def test_who_failed_a_part_tries_it_again_when_all_others_are_drained(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    for worker in ("w@here", "w@away"):
        ledger.worker_seen(worker)
    claim = ledger.claim(job, "0", "w@here")
    ledger.fail(job, "0", claim.attempt, "x", FAILURE_WEIGHT, 0)
    assert ledger.claim(job, "0", "w@here").verdict == "others"
    ledger.drain("away")
    assert ledger.claim(job, "0", "w@here").granted


def test_what_happens_to_jobs_is_counted(ledger: Ledger) -> None:
    good, bad = opened(ledger, chunks=2), opened(ledger, chunks=1, max_attempts=1)
    finish_all(ledger, good, chunks=2)
    ledger.offer(good, 5, STALE_S)
    do(ledger, good, "assemble", 0)
    claim = ledger.claim(bad, "0", "w")
    assert ledger.fail(bad, "0", claim.attempt, "x", FAILURE_WEIGHT, 0) == "quarantined"
    counted = ledger.tallies()
    assert {name: counted[name] for name in ("jobs_submitted", "attempts", "quarantines")} == {
        "jobs_submitted": 2,
        "attempts": 5,
        "quarantines": 1,
    }
    assert (counted["jobs_ended|done"], counted["jobs_ended|failed"]) == (1, 1)


def test_the_time_to_the_first_segment_is_observed_once_for_each_job(ledger: Ledger) -> None:
    job = opened(ledger, chunks=3)
    do(ledger, job, "audio", 0)
    assert tallies.distributions(tallies.FIRST_SEGMENT_S, ledger.tallies()) == {}
    for part in "012":
        do(ledger, job, part)
    ((buckets, total),) = tallies.distributions(tallies.FIRST_SEGMENT_S, ledger.tallies()).values()
    assert buckets[0] == ("1.0", 1.0) and buckets[-1] == ("+Inf", 1.0)
    assert 0 <= total < 1


def test_a_claim_that_ran_out_is_counted(brief: Ledger) -> None:
    job = opened(brief, chunks=1)
    brief.claim(job, "0", "w")
    wait_until(lambda: brief.offer(job, 5, STALE_S).count("0"), 5, "the claim to run out")
    assert brief.tallies()["claims_expired"] == 1


def test_what_workers_count_is_added_up(ledger: Ledger) -> None:
    ledger.tally({"frames_rendered|w": 250, "chunk_stage_seconds_sum|paste": 0.25})
    ledger.tally({"frames_rendered|w": 30, "chunk_stage_seconds_sum|paste": 0.5})
    assert ledger.tallies() == {"frames_rendered|w": 280, "chunk_stage_seconds_sum|paste": 0.75}


def test_what_is_told_twice_with_one_token_counts_once(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.tally({"frames_rendered|w": 250}, "a token")
    ledger.tally({"frames_rendered|w": 1})
    assert ledger.tallies() == {"frames_rendered|w": 251}


def test_a_part_that_others_cannot_do_comes_back_to_who_failed_it(ledger: Ledger) -> None:
    job = opened(ledger, chunks=1)
    for worker in ("able@a", "unable@b"):
        ledger.worker_seen(worker)
    claim = ledger.claim(job, "0", "able@a")
    ledger.fail(job, "0", claim.attempt, "the store was away", TRANSIENT_WEIGHT, 0)
    assert ledger.claim(job, "0", "able@a").verdict == "others"
    left = ledger.claim(job, "0", "unable@b")
    assert ledger.leave(job, "0", left.attempt, "it has no such encoder") == "others"
    assert ledger.claim(job, "0", "able@a").granted
